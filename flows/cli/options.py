"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from storage.store.location import DEFAULT_REGISTRY as DEFAULT_REGISTRY
from storage.store.store import DEFAULT_STORE as DEFAULT_STORE

Format = Literal["table", "csv", "json"]

Root = Annotated[
    str,
    Parameter(name="DATASET", help="A registered name, or a folder or URL: DATASET/CATEGORY/train/good, ..."),
]
Run = Annotated[str, Parameter(help="A run's id, or latest.")]
StoreOption = Annotated[
    str, Parameter(name="--store", env_var="SPADE_STORE", help="Folder or s3:// URL of the store.")
]
RegistryOption = Annotated[
    str, Parameter(name="--registry", env_var="SPADE_REGISTRY", help="File of registered datasets.")
]
Categories = Annotated[list[str] | None, Parameter(name="--category", help="Only this category; repeatable.")]
LayoutOption = Annotated[
    str | None,
    Parameter(name="--layout", help="See spade datasets. Default: what the folder shows, or MVTec AD's."),
]
MethodOption = Annotated[
    str | None, Parameter(name="--method", help="Of the run, as its tables name it. Default: its first.")
]
RunId = Annotated[str | None, Parameter(help="Name of the run; the same name continues an interrupted run.")]
SweepId = Annotated[
    str | None,
    Parameter(name="--run-id", help="Name of the sweep; the same name continues an interrupted one."),
]
Tolerance = Annotated[
    float, Parameter(validator=Number(gte=0), help="Of a metric: a smaller difference is none.")
]
FormatOption = Annotated[Format, Parameter(name="--format", help="For people, or all columns for machines.")]
Verify = Annotated[bool, Parameter(help="Read every file, unchanged ones too.")]
Verbose = Annotated[bool, Parameter(name=("--verbose", "-v"), help="Show Prefect's log.")]
