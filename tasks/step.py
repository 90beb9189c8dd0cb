"""The Prefect task of a step: not cached, as the store knows what is done; tried again if that may help."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from storage.errors import UnreachableStoreError

if TYPE_CHECKING:
    from prefect import Task
    from prefect.client.schemas.objects import State, TaskRun
    from prefect.futures import PrefectFuture

P = ParamSpec("P")
R = TypeVar("R")

_NEVER_PASSES = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError)


class Step(Generic[P, R]):
    """A function that does only what the store does not have, as a task of the flow that calls it.

    The task is made at the first call: to import a step, and to call its function `fn`, takes no Prefect.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        """Name the step after its function."""
        self.fn = function
        update_wrapper(self, function)

    @cached_property
    def task(self) -> Task[P, R]:
        """The task."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        made = task(
            cache_policy=NO_CACHE, retries=2, retry_delay_seconds=[2, 20], retry_condition_fn=may_pass
        )
        return made(self.fn)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task, and wait for it."""
        return self.task(*args, **kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> PrefectFuture[R]:
        """Hand the task to the flow's task runner."""
        return self.task.submit(*args, **kwargs)


def step(function: Callable[P, R]) -> Step[P, R]:
    """Make a step of a function."""
    return Step(function)


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether what went wrong is input or output that may work the next time; bad data stays bad."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, UnreachableStoreError):
        return True
    return isinstance(error, OSError) and not isinstance(error, _NEVER_PASSES)
