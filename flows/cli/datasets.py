"""Commands that look at datasets, and register them."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from flows.cli.options import (
    DEFAULT_REGISTRY,
    DEFAULT_STORE,
    Categories,
    LayoutOption,
    RegistryOption,
    Root,
    StoreOption,
    Verify,
)
from flows.cli.running import resolved


def inspect(
    root: Root,
    /,
    *,
    category: Categories = None,
    layout: LayoutOption = None,
    every: Annotated[bool, Parameter(name="--all", help="Name every file, not one of each kind.")] = False,
    verify: Verify = False,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what a dataset holds and what is wrong with it; nothing is computed or written."""
    from flows.cli.screen.datasets import inspect_dataset

    inspect_dataset(resolved(root, registry, category, layout), store, every=every, verify=verify)


def datasets() -> None:
    """List the layouts of datasets, and where each expects its images and masks."""
    from flows.cli.screen.datasets import print_layouts

    print_layouts()


def add(
    name: Annotated[str, Parameter(name="NAME", help="What to call the dataset.")],
    root: Annotated[str, Parameter(name="ROOT", help="Its folder or URL.")],
    /,
    *,
    layout: LayoutOption = None,
    yes: Annotated[bool, Parameter(help="Write the entry.")] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Look at a folder and show the entry that registers it as a dataset; --yes writes it."""
    from flows.cli.screen.datasets import add_dataset

    add_dataset(name, root, registry, layout, write=yes)
