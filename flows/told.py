"""Whoever the registry names is told how a night ended, within a minute."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from flows.registered import BadRunsError, RegisteredRun
from storage.datasets.notify import Notify
from storage.store.store import Store
from tasks.progress import LOGGER
from tasks.webhook import post

_LINES, _WIDTH = 20, 400  # of the text: the fields have all of it


@contextmanager
def told(notify: Notify | None, flow: str, store: str) -> Iterator[list[RegisteredRun]]:
    """Tell how the runs that are put into the list ended, or what stopped the flow.

    Nothing is told of a flow that ran nothing. A receiver that does not answer is logged, and fails nothing.
    """
    runs: list[RegisteredRun] = []
    try:
        yield runs
    except BadRunsError:
        tell(notify, flow, store, runs)
        raise
    except Exception as error:
        tell(notify, flow, store, runs, reason=str(error) or type(error).__name__)
        raise
    tell(notify, flow, store, runs)


def tell(
    notify: Notify | None,
    flow: str,
    store: str,
    runs: Sequence[RegisteredRun] = (),
    *,
    reason: str | None = None,
    interrupted: Sequence[str] = (),
) -> None:
    """Post how runs ended, what stopped their flow, or which of its predecessor were interrupted."""
    if notify is None:
        return
    try:
        body = notice(flow, store, runs, reason=reason, interrupted=interrupted)
        if not set(body["events"]).isdisjoint(notify.events):
            failure = post(notify.address(), body)
            if failure is not None:
                LOGGER.error("nobody was told how %s ended: %s", flow, failure)
    except Exception as error:  # a night is not lost for a message
        LOGGER.error("nobody was told how %s ended: %s", flow, error)


def notice(
    flow: str,
    store: str,
    runs: Sequence[RegisteredRun] = (),
    *,
    reason: str | None = None,
    interrupted: Sequence[str] = (),
) -> dict[str, Any]:
    """What is posted: a `text` for people, and the same in fields."""
    failed = [run for run in runs if run.status != "complete"]
    worse = [run for run in runs if run.worse]
    found = {"failed": failed or reason, "worse": worse, "crashed": interrupted}
    events = [event for event, what in found.items() if what]
    if runs and not events:
        events = ["good"]
    lines = [run.complaint for run in runs if not run.is_good]
    lines += [f"{run} was interrupted" for run in interrupted]
    lines += [reason] if reason else []
    reports = _reports(store, [run for run in runs if not run.is_good])
    lines += [f"report: {page}" for page in reports.values()]
    what = f"{len(runs)} runs, {len(failed)} failed, {len(worse)} worse" if runs else ", ".join(events)
    machine = socket.gethostname()
    shown = [f"- {line[:_WIDTH]}" for line in lines[:_LINES]]
    if len(lines) > _LINES:
        shown.append(f"- and {len(lines) - _LINES} more")
    return {
        "text": "\n".join([f"SPADE {flow}: {what} (store {store}, on {machine})", *shown]),
        "events": events,
        "flow": flow,
        "store": store,
        "machine": machine,
        "reason": reason,
        "interrupted": list(interrupted),
        "runs": [{**asdict(run), "report": reports.get(run.run)} for run in runs],
    }


def _reports(store: str, runs: Sequence[RegisteredRun]) -> dict[str | None, str]:
    """The page of each run that has one."""
    if not runs:
        return {}
    opened = Store.at(store)
    pages = {run.run: opened.report(run.run) / "index.html" for run in runs if run.run is not None}
    return {run: str(page) for run, page in pages.items() if opened.exists(page)}
