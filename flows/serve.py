"""The flows of one machine: nightly and watch by their schedules, reprocess and evaluate when asked for."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import Any

from prefect import serve as serve_deployments
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.schedules import Cron, Interval
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.types.entrypoint import EntrypointType

from flows.automations import HEARTBEAT, TAG, automate
from flows.evaluate import evaluate
from flows.nightly import nightly
from flows.reprocess import reprocess
from flows.watch import watch
from storage.datasets.registry import read_registry
from tasks.core.errors import ConfigurationError

_ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
_ONE_OR_NONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


def serve(cron: str, registry: str, store: str, watch_every: int | None = None) -> None:
    """Serve the flows until SIGINT or SIGTERM, with the server that Prefect's settings name.

    A machine that is switched off pauses the schedule; serving again resumes it. A night that begins before
    the last one ended waits for it. Every `watch_every` minutes, if given, changed datasets are reprocessed;
    what begins before the last look ended is left out. The server takes a run that it hears of no more for
    crashed, and then tells whoever the registry names.

    Raises:
        ConfigurationError: `cron` is no schedule.
        DatasetError: the registry cannot be read.
    """
    # prefect's own handler of SIGTERM ends the runner by raising, and forgets a coroutine on its way
    warnings.filterwarnings("ignore", "coroutine 'Runner.astop' was never awaited", RuntimeWarning)
    named = {"registry": registry, "store": store}
    try:
        deployments = [
            _deployment(
                nightly, named, schedule=Cron(cron, timezone="UTC"), concurrency_limit=_ONE_AT_A_TIME
            ),
            _deployment(reprocess, named),
            _deployment(evaluate, {"store": store}),
        ]
    except ValueError:
        raise ConfigurationError(
            f"cron is {cron!r}: it has five fields, as in '0 2 * * *' for two o'clock every night"
        ) from None
    if watch_every is not None:
        every = Interval(timedelta(minutes=watch_every))
        deployments.append(_deployment(watch, named, schedule=every, concurrency_limit=_ONE_OR_NONE))
    automate(read_registry(registry).notify)
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: HEARTBEAT}):  # also of the runs' processes
        serve_deployments(*deployments)


def _deployment(flow: Flow[..., Any], parameters: dict[str, Any], **more: Any) -> RunnerDeployment:
    """Named after its flow, which is found wherever the project is installed, from any folder."""
    return RunnerDeployment.from_flow(
        flow,
        flow.name,
        parameters=parameters,
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
        **more,
    )
