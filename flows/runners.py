"""What runs the categories of a dataset at the same time: threads of this process, or a Dask cluster."""

from __future__ import annotations

from typing import Any, Literal, get_args

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.core.errors import ConfigurationError

Kind = Literal["threads", "dask"]


def is_wide(runner: TaskRunner[Any]) -> bool:
    """Whether it works on more than one task at a time; a cluster may."""
    return not isinstance(runner, ThreadPoolTaskRunner) or runner._max_workers > 1


def task_runner(
    kind: Kind = "threads", parallel: int = 1, dask_address: str | None = None
) -> TaskRunner[Any]:
    """A runner that works on `parallel` categories, or shares of one, at a time.

    With "dask" they go to the cluster at `dask_address`, whose workers have this project and reach the
    datasets and the store; without an address, to `parallel` processes of this machine.

    Raises:
        ConfigurationError: a value out of its range.
    """
    if parallel < 1:
        raise ConfigurationError(f"parallel is {parallel}: it is a number of categories, 1 or more")
    if dask_address is not None and kind != "dask":
        raise ConfigurationError(f"dask-address is {dask_address!r}: it needs --runner dask")
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=parallel)
    if kind != "dask":
        raise ConfigurationError(f"runner is {kind!r}: it is one of {', '.join(get_args(Kind))}")
    from prefect_dask.task_runners import DaskTaskRunner

    if dask_address is not None:
        return DaskTaskRunner(address=dask_address)
    return DaskTaskRunner(
        cluster_kwargs={"n_workers": parallel, "threads_per_worker": 1, "dashboard_address": None}
    )
