"""The runs of a night, handed to the MLflow server that the registry names."""

from __future__ import annotations

from collections.abc import Sequence

from flows.registered import RegisteredRun
from storage.datasets.tracking import Tracking
from tasks.progress import LOGGER
from tasks.tracking import Tracker


def track(tracking: Tracking | None, store: str, runs: Sequence[RegisteredRun]) -> None:
    """Hand the published ones over; what does not arrive is logged, and fails nothing."""
    if tracking is None:
        return
    tracker = None
    for run in [each.run for each in runs if each.run is not None]:
        try:
            tracker = tracker or Tracker(tracking.address())
            tracker.hand_over(store, run)
        except Exception as error:  # a night is not lost for a copy of it
            reason = str(error) or type(error).__name__
            LOGGER.error(
                "%s is not in MLflow: %s; `spade export URI --format mlflow` hands it over", run, reason
            )
            if tracker is None:
                return
