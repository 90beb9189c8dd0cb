"""Any method on a category: its score key, and its scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tasks.core.memory import release
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.job import Part, Stage
from tasks.methods.ensemble import EnsembleScoring
from tasks.methods.fitted import FeatureScoring, score_jointly
from tasks.methods.scoring import Scoring
from tasks.step import step


def scoring_of(part: Part, method: Method) -> Scoring:
    """A method on a category."""
    if isinstance(method, Ensemble):
        return EnsembleScoring(part, method)
    return FeatureScoring(part, method)


def groups(scorings: Iterable[Scoring]) -> list[list[Scoring]]:
    """The scorings in groups that share work, ensembles last: each finds the scores of its methods."""
    found: dict[object, list[Scoring]] = {}
    for scoring in sorted(scorings, key=lambda scoring: isinstance(scoring, EnsembleScoring)):
        method = scoring.method
        found.setdefault(method.name if method.joint else method, []).append(scoring)
    return list(found.values())


def pieces(part: Part) -> list[FeatureScoring]:
    """All that is scored from features for the methods of a category, each once."""
    scorings = (scoring_of(part, method) for method in part.job.methods)
    return list({piece.key: piece for scoring in scorings for piece in scoring.pieces()}.values())


@step
def score(scorings: Sequence[Scoring]) -> list[list[Stage]]:
    """Append the scores that test images lack, by the scorings of a group; the stages of each."""
    from_features = [scoring for scoring in scorings if isinstance(scoring, FeatureScoring)]
    try:
        if len(from_features) == len(scorings):
            return score_jointly(from_features)
        return [scoring.score() for scoring in scorings]
    finally:
        release()  # training images that were kept
