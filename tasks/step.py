"""The Prefect task of a step: not cached, as the store knows what is done; tried again if that may help."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from storage.errors import UnreachableStoreError

P = ParamSpec("P")
R = TypeVar("R")

_NEVER_PASSES = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError)


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether what went wrong is input or output that may work the next time; bad data stays bad."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, UnreachableStoreError):
        return True
    return isinstance(error, OSError) and not isinstance(error, _NEVER_PASSES)


def step(function: Callable[P, R]) -> Task[P, R]:
    """Make a task of a function that does only what the store does not have."""
    retried = task(cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[2, 20], retry_condition_fn=may_pass)
    return retried(function)
