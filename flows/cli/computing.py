"""Options of commands that compute: on what, how much at a time, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB


@Parameter(name="*")
@dataclass(frozen=True)
class Machine:
    """What passes images through the network."""

    device: Annotated[str, Parameter(help="auto, cpu, cuda, ...")] = "auto"
    batch_size: Annotated[int, Parameter(help="Images in a forward pass.")] = DEFAULT_BATCH_SIZE


@Parameter(name="*")
@dataclass(frozen=True)
class Worker(Machine):
    """What also scores, with a share of the machine's memory."""

    memory_gib: Annotated[
        float, Parameter(name="--memory", help="GiB kept of training images while fitting and scoring.")
    ] = DEFAULT_MEMORY_GIB


@Parameter(name="*")
@dataclass(frozen=True)
class Workers(Worker):
    """Several of these side by side."""

    runner: Annotated[str, Parameter(help="threads or dask: what works on categories side by side.")] = (
        "threads"
    )
    dask_address: Annotated[str | None, Parameter(help="A Dask scheduler, for --runner dask.")] = None
    parallel: Annotated[
        int, Parameter(validator=Number(gte=1), help="Categories at a time; they share --memory.")
    ] = 1
