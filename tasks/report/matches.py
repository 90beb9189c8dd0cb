"""For the most anomalous position of each test image: where its best match lies in which training image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from storage.computed.scores import Scores
from storage.datasets.manifest import ImageFile
from tasks.core.methods.interface import Correspondence, Method, Query, Training
from tasks.methods.matches import Match, Question, nearer, within
from tasks.report.source import Source

Found = dict[str, list[Match] | str]


def matches(
    source: Source,
    scores: Scores,
    test: Sequence[ImageFile],
    train: Sequence[ImageFile],
    method: Method,
    pool: Executor,
) -> Found:
    """The matches of each test image by image_id, one a matched grid; or why there are none.

    `method` is a settled one that has a correspondence. One training image a thread is in memory at a time.
    """
    training, correspondence = source.training(train), method.correspondence
    if isinstance(training, str) or correspondence is None:
        return {entry.image_id: str(training) for entry in test}
    answered = pool.map(lambda entry: _asked(source, scores, entry, method, training), test)
    found: Found = {}
    asked: dict[str, Question] = {}
    for entry, answer in zip(test, answered, strict=True):
        if isinstance(answer, str):
            found[entry.image_id] = answer
        else:
            found[entry.image_id], asked[entry.image_id] = [], answer
    askers: dict[int, list[str]] = defaultdict(list)
    for image_id, question in asked.items():
        for position in question.compared:
            askers[position].append(image_id)
    answers = pool.map(
        lambda position: _answers(
            source, train[position], {name: asked[name] for name in askers[position]}, correspondence
        ),
        askers,
    )
    for of_image in answers:
        for image_id, offered in of_image.items():
            found[image_id] = _better(found[image_id], offered)
    return found


def _asked(
    source: Source, scores: Scores, entry: ImageFile, method: Method, training: Training
) -> Question | str:
    correspondence = method.correspondence
    assert correspondence is not None
    values, embedding = source.anomaly_map(scores, entry), source.embedding(entry)
    pyramid = source.pyramid(entry, correspondence.levels)
    if isinstance(values, str):
        return values
    if isinstance(embedding, str) or isinstance(pyramid, str):
        return str(embedding if isinstance(embedding, str) else pyramid)
    query = Query(embedding, pyramid, entry.key)
    return Question.of(method, correspondence, query, values, training)


def _answers(
    source: Source, entry: ImageFile, asked: Mapping[str, Question], correspondence: Correspondence
) -> Found:
    """The best matches of some patches within one training image."""
    pyramid = source.pyramid(entry, correspondence.levels)
    if isinstance(pyramid, str):
        return dict.fromkeys(asked, pyramid)
    found = within(entry, pyramid, list(asked.values()), correspondence)
    return dict(zip(asked, found, strict=True))


def _better(known: list[Match] | str, offered: list[Match] | str) -> list[Match] | str:
    """The nearer match on each grid; a gallery that cannot be read whole leaves its reason."""
    if isinstance(known, str) or not known:
        return known or offered
    if isinstance(offered, str):
        return offered
    return nearer(known, offered)
