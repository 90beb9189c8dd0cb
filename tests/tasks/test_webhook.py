from __future__ import annotations

import socket
import time

import pytest
from receiver import Receiver

from tasks import webhook
from tasks.webhook import post


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_PAUSE", 0.0)


def test_what_is_posted_arrives_once(receiver: Receiver) -> None:
    assert post(receiver.url, {"text": "grüße"}) is None
    assert receiver.received == [{"text": "grüße"}]


def test_a_receiver_that_is_busy_is_asked_again(receiver: Receiver) -> None:
    receiver.answers = [503, 429]
    assert post(receiver.url, {}) is None
    assert len(receiver.received) == 3


def test_a_receiver_that_refuses_is_not(receiver: Receiver) -> None:
    receiver.answers = [404]
    assert post(receiver.url, {}) == "the receiver answers 404"
    assert len(receiver.received) == 1


def test_a_receiver_that_is_gone_is_told_without_its_url(receiver: Receiver) -> None:
    receiver.answers = [500, 500, 500]
    assert post(receiver.url, {}) == "the receiver answers 500"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    reason = post(f"http://127.0.0.1:{port}/{receiver.secret}", {})
    assert reason is not None
    assert reason.startswith("the receiver cannot be reached: ")
    assert receiver.secret not in reason


def test_a_receiver_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        reason = post(f"http://127.0.0.1:{server.getsockname()[1]}/", {})
    assert reason in (
        "the receiver cannot be reached: TimeoutError",
        "the receiver cannot be reached: timed out",
    )


def test_all_attempts_end_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert webhook._LIMIT < 60
    monkeypatch.setattr(webhook, "_LIMIT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        begin = time.monotonic()
        assert post(f"http://127.0.0.1:{server.getsockname()[1]}/", {}) == "no answer in 0 s"
        assert time.monotonic() - begin < webhook._SECONDS
