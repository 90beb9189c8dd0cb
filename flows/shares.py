"""Categories handed to a runner of several workers: each in shares, so that none waits for the largest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from prefect.futures import PrefectFuture

from flows.category import evaluate_category
from tasks.job import Job, Outcome
from tasks.run.shares import extract_share, extract_shares, learn, score_share, score_shares
from tasks.step import step

Futures = list[PrefectFuture[Any]]


def submit_shares(job: Job, categories: Sequence[str]) -> list[PrefectFuture[Outcome]]:
    """The outcomes of the categories, by tasks of a share each.

    Extraction of one category, fits of the one before it, scores of the one before that, and its end are
    handed over in this order, so that what a task waits for was begun long before it.
    """
    extracted, learned, scored = dict[str, Futures](), dict[str, Futures](), dict[str, Futures]()
    to_score: dict[str, list[tuple[int, int]]] = {}
    ended: list[PrefectFuture[Outcome]] = []
    for turn in range(len(categories) + 3):
        new, fitted, matched, last = (
            categories[turn - late] if 0 <= turn - late < len(categories) else None for late in range(4)
        )
        if new is not None:
            shares = range(extract_shares(job, new))
            extracted[new] = [extract_share.submit(job, new, share) for share in shares]
        if fitted is not None:
            to_score[fitted] = score_shares(job, fitted)
            numbers = sorted({number for number, _ in to_score[fitted]})
            learned[fitted] = [learn.submit(job, fitted, number, extracted[fitted]) for number in numbers]
        if matched is not None:
            scored[matched] = [
                score_share.submit(job, matched, number, share, learned[matched])
                for number, share in to_score[matched]
            ]
        if last is not None:
            ended.append(end.submit(job, last, extracted[last], learned[last], scored[last]))
    return ended


@step
def end(job: Job, category: str, *shares: Sequence[Any]) -> Outcome:
    """The category as its shares left it: what none of them could do, its metrics, its stages."""
    before = chain.from_iterable(chain.from_iterable(shares))
    return evaluate_category([job], category, list(before))[0]
