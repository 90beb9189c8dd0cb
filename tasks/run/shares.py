"""A category in shares of a few images, for several workers: each computes what the store lacks of it.

What a share computes is found by content, as if the category's own task had done it. A share that fails
leaves its images to that task, which says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import ceil

from tasks.job import Job, Part, Stage
from tasks.methods.by_name import pieces
from tasks.methods.fitted import FeatureScoring
from tasks.methods.index import index
from tasks.progress import LOGGER
from tasks.run.extract import append_features
from tasks.step import step

SIZE = 32  # images

Done = list[Stage]


def extract_shares(job: Job, category: str) -> int:
    """In how many shares a category's features are computed."""
    return ceil(len(_keys(job.part(category))) / SIZE)


def score_shares(job: Job, category: str) -> list[tuple[int, int]]:
    """The shares in which a category is scored: the number of a piece (`pieces`), and of its images."""
    try:
        sizes = [len(piece.part.scored) for piece in pieces(job.part(category))]
    except Exception:  # the category says what is wrong with it
        return []
    return [(number, share) for number, size in enumerate(sizes) for share in range(ceil(size / SIZE))]


def _left_to_the_category(share: Callable[..., Done]) -> Callable[..., Done]:
    @wraps(share)
    def attempt(job: Job, category: str, *arguments: object) -> Done:
        try:
            return share(job, category, *arguments)
        except Exception as error:
            LOGGER.info("a share of %s is left to the category: %r", category, error)
            return []

    return attempt


@step
@_left_to_the_category
def extract_share(job: Job, category: str, share: int) -> Done:
    """Append the features of a share of a category's images."""
    part = job.part(category)
    stage, _ = append_features(part.only(_share(_keys(part), share)))
    return [stage]


@step
@_left_to_the_category
def learn(job: Job, category: str, number: int, _features: Sequence[object]) -> Done:
    """Index the training images of a piece, and learn of them, once their features are there."""
    piece = _piece(job, category, number)
    return [index.fn(piece.part), *piece.learn()] if number == 0 else piece.learn()


@step
@_left_to_the_category
def score_share(job: Job, category: str, number: int, share: int, _learned: Sequence[object]) -> Done:
    """Append the scores of a share of a piece's images, once it is learned."""
    piece = _piece(job, category, number)
    scored = _share(piece.part.scored, share)
    return FeatureScoring(piece.part.only({*piece.part.train, *scored}), piece.method).score()


def _piece(job: Job, category: str, number: int) -> FeatureScoring:
    return pieces(job.part(category))[number]


def _keys(part: Part) -> list[str]:
    return list(dict.fromkeys(entry.key for entry in part.manifest.used()))


def _share(keys: Sequence[str], number: int) -> set[str]:
    return set(keys[number * SIZE : (number + 1) * SIZE])
