from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest
from receiver import Receiver

from flows.registered import BadRunsError, RegisteredRun
from flows.told import notice, told
from storage.datasets.notify import EVENTS, Notify
from storage.store.store import Store

GOOD = RegisteredRun("tiny", "few", "night-1", "complete", verdicts="4 same")
WORSE = RegisteredRun("other", "few", "night-2", "complete", 2, "2 same, 2 worse")
FAILED = RegisteredRun("gone", "few", None, "failed", reason="no dataset at /gone")


def all_events(receiver: Receiver) -> Notify:
    return Notify(receiver.url, EVENTS)


def test_a_bad_night_says_what_and_where(receiver: Receiver, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    page = store.report("night-2") / "index.html"
    store.write(page, b"")
    begin = time.time()

    def night() -> None:
        with told(all_events(receiver), "nightly", str(store.root)) as runs:
            runs.extend([GOOD, WORSE, FAILED])
            raise BadRunsError(runs, runs[1:])

    with pytest.raises(BadRunsError):
        night()
    (message,) = receiver.received
    assert receiver.times[0] - begin < 60
    assert message["events"] == ["failed", "worse"]
    assert (message["flow"], message["store"], message["reason"]) == ("nightly", str(store.root), None)
    assert [run["report"] for run in message["runs"]] == [None, str(page), None]
    assert message["runs"][1] == {
        "dataset": "other",
        "configuration": "few",
        "run": "night-2",
        "status": "complete",
        "worse": 2,
        "verdicts": "2 same, 2 worse",
        "reason": None,
        "drifted": 0,
        "drift_fails": False,
        "report": str(page),
    }
    head, *lines = message["text"].splitlines()
    assert head.startswith(f"SPADE nightly: 3 runs, 1 failed, 1 worse (store {store.root}, on ")
    assert lines == [
        "- other few: 2 metrics got worse",
        "- gone few: no dataset at /gone",
        f"- report: {page}",
    ]


def test_what_stops_a_flow_is_told(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), told(all_events(receiver), "nightly", str(tmp_path)):
        raise OSError("the disk is full")
    (message,) = receiver.received
    assert (message["events"], message["reason"], message["runs"]) == (["failed"], "the disk is full", [])
    assert message["text"].splitlines()[1] == "- the disk is full"


@pytest.mark.parametrize(
    ("events", "runs", "count"),
    [
        (("failed", "worse", "crashed"), [GOOD], 0),
        (("good",), [GOOD], 1),
        (("good",), [WORSE], 0),
        (("worse",), [FAILED], 0),
        (("worse",), [FAILED, WORSE], 1),
        (EVENTS, [], 0),
    ],
)
def test_only_what_is_asked_for_is_told(
    receiver: Receiver, tmp_path: Path, events: tuple[str, ...], runs: list[RegisteredRun], count: int
) -> None:
    with told(Notify(receiver.url, events), "nightly", str(tmp_path)) as found:
        found.extend(runs)
    assert len(receiver.received) == count


def test_a_long_night_is_told_in_few_lines_and_in_full(tmp_path: Path) -> None:
    runs = [RegisteredRun(f"data{n}", "few", None, "failed", reason="x" * 900) for n in range(30)]
    body = notice("nightly", str(tmp_path), runs)
    lines = body["text"].splitlines()
    assert len(lines) == 22
    assert lines[-1] == "- and 10 more"
    assert max(map(len, lines)) <= 402
    assert len(body["runs"]) == 30


@pytest.mark.parametrize("url", ["${SPADE_NOT_SET}", "", "receiver"])
def test_a_receiver_that_is_none_fails_no_night(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    receiver.answers = [400]
    with caplog.at_level(logging.DEBUG), told(Notify(url or receiver.url), "nightly", str(tmp_path)) as runs:
        runs.append(FAILED)
    assert "nobody was told how nightly ended" in caplog.text
    assert receiver.secret not in caplog.text
