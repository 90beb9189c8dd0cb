from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from storage.datasets.retention import Retention
from storage.space.kept import PastRun, kept

START = datetime(2026, 1, 1, tzinfo=UTC)
PARTS = [("nut", "spade"), ("nut", "dn2"), ("pin", "spade")]


def run(name: str, day: float, **changes: object) -> PastRun:
    plain = PastRun(name, START + timedelta(days=day), "data", "key", True, True, frozenset(PARTS[:1]))
    return replace(plain, **changes)  # type: ignore[arg-type]


@st.composite
def histories(draw: st.DrawFn) -> list[PastRun]:
    found = []
    for number in range(draw(st.integers(0, 14))):
        whole = draw(st.booleans()) or draw(st.booleans())
        parts = draw(st.sets(st.sampled_from(PARTS), min_size=1)) if whole else set()
        found.append(
            run(
                f"run{number}",
                draw(st.integers(0, 80)) / 2,
                dataset=draw(st.sampled_from(["data", "other"])),
                configuration=draw(st.sampled_from(["key", "lock"])),
                is_whole=whole,
                is_good=whole and draw(st.booleans()),
                parts=frozenset(parts),
                mark=draw(st.sampled_from([None] * 6 + ["accepted", "pinned: why"])),
                sweep=draw(st.sampled_from([None] * 4 + ["sweep"])),
            )
        )
    return found


retentions = st.builds(Retention, st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 9))


def oracle(runs: list[PastRun], policy: Retention, busy: set[str]) -> set[str]:
    """The rule, word by word, for each dataset, configuration, category and method on its own."""
    found = {each.run for each in runs if each.mark is not None or each.dataset in busy}
    for dataset in ("data", "other"):
        for configuration in ("key", "lock"):
            alike = [each for each in runs if (each.dataset, each.configuration) == (dataset, configuration)]
            for part in (*PARTS, None):
                some = [each for each in alike if part in each.parts or (part is None and not each.parts)]
                some.sort(key=lambda each: (each.ended, each.run))
                whole = [each for each in some if each.is_whole]
                found |= {each.run for each in whole[-1:]}
                found |= {each.run for each in [each for each in whole if each.is_good][-1:]}
                days = sorted({each.ended.date() for each in some})[-policy.nights :]
                found |= {each.run for each in some if each.ended.date() in days}
                for count, form in ((policy.weeks, "%G %V"), (policy.months, "%Y %m")):
                    periods = sorted({each.ended.strftime(form) for each in whole})[::-1][:count]
                    for period in periods:
                        within = [each for each in whole if each.ended.strftime(form) == period]
                        good = [each for each in within if each.is_good]
                        found.add((good or within)[-1].run)
    if any(each.sweep and each.run in found for each in runs):
        found |= {each.run for each in runs if each.sweep}
    return found


@given(histories(), retentions, st.sets(st.sampled_from(["data", "other"]), max_size=1))
def test_what_is_kept_is_what_the_rule_says(runs: list[PastRun], policy: Retention, busy: set[str]) -> None:
    assert kept(runs, policy, busy).keys() == oracle(runs, policy, busy)


@given(histories(), retentions)
def test_what_is_kept_is_kept_when_the_rest_is_gone(runs: list[PastRun], policy: Retention) -> None:
    reasons = kept(runs, policy)
    assert kept([each for each in runs if each.run in reasons], policy).keys() == reasons.keys()


def test_each_reason_is_told() -> None:
    runs = [
        run("accepted", 1, mark="accepted"),
        run("pinned", 2, mark="pinned: of the paper"),
        run("january", 20),
        run("gone", 33),
        run("good", 36),
        run("week", 41, is_good=False),
        run("yesterday", 47, is_good=False),
        run("latest", 48, is_good=False),
    ]
    assert kept(runs, Retention(nights=2, weeks=2, months=2)) == {
        "accepted": "accepted",
        "pinned": "pinned: of the paper",
        "latest": "the latest",
        "good": "the last good one",
        "yesterday": "of the last nights",
        "week": "of its week",
        "january": "of its month",
    }


def test_nothing_is_kept_of_nothing() -> None:
    assert kept([], Retention()) == {}
