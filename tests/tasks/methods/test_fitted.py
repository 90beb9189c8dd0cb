"""What is scored, and by what, when a store has some of the scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import spade

from storage.computed.scores import Scores
from storage.store.segments import Segments
from tasks.core.matching.blocks import Frame, Searched
from tasks.core.methods.interface import Method, Query, Training
from tasks.core.methods.padim import PaDiM
from tasks.core.methods.retrieve_and_match import score_together as score_as_it_is
from tasks.core.methods.spade import Spade
from tasks.job import Part
from tasks.methods import fitted
from tasks.methods.fitted import FeatureScoring, score_jointly

TRAIN, TEST = 6, 5


def scorings(part: Part, *methods: Method) -> list[FeatureScoring]:
    return [FeatureScoring(part, method) for method in methods]


def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Counts images by each setting of SPADE that scored them, from now on."""
    counts: Counter[tuple[str, str]] = Counter()

    def counted(methods: Sequence[Spade], query: Query, training: Training) -> Any:
        counts.update((method.label, query.key) for method in methods)
        return score_as_it_is(methods, query, training)

    monkeypatch.setattr("tasks.core.methods.retrieve_and_match.score_together", counted)
    return counts


def test_an_image_is_scored_by_those_alone_that_lack_its_scores(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run was killed after a batch of one method, and before that of the other."""

    class Killed(BaseException):
        pass

    append, appended = Scores.append, 0

    def dying(self: Scores, scores: Any, maps: Any) -> None:
        nonlocal appended
        appended += 1
        if appended == 4:
            raise Killed
        append(self, scores, maps)

    methods = (spade(), spade(kappa=2))
    with monkeypatch.context() as patch:
        patch.setattr(fitted, "BATCH_SIZE", 2)
        patch.setattr(Scores, "append", dying)
        with pytest.raises(Killed):
            score_jointly(scorings(part, *methods))
    counts = asked(monkeypatch)
    stages = score_jointly(scorings(part, *methods))
    assert [stage.computed for (stage,) in stages] == [TEST - 4, TEST - 2]
    assert counts.total() == TEST - 4 + TEST - 2
    assert set(counts.values()) == {1}


def test_equal_scores_are_computed_and_recorded_once(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """K above the number of training images is that number: the two settings mean the same."""
    counts = asked(monkeypatch)
    same = scorings(part, Spade(k_image=2), Spade(k_image=2, k_gallery=TRAIN), Spade(k_image=3))
    assert same[0].key == same[1].key != same[2].key
    stages = score_jointly(same)
    assert [stage.computed for (stage,) in stages] == [TEST, 0, TEST]
    assert counts.total() == 2 * TEST
    for scoring in same:
        assert scoring.scores.missing(part.scored) == []
        group = part.store.scores(scoring.key)
        assert len(part.store.entries(group / "records")) * len(Segments(part.store, group)) == TEST


def test_what_was_learned_is_read_once_for_all_maps(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    other = part.of(replace(part.job, configuration=replace(part.job.configuration, sigma=0.0)))
    method = PaDiM(dimensions=5)
    fits: list[int] = []
    fit = PaDiM.fit

    def counted(self: PaDiM, training: Training) -> Any:
        fits.append(len(training))
        return fit(self, training)

    monkeypatch.setattr(PaDiM, "fit", counted)
    monkeypatch.setattr(fitted, "read_state", lambda *_: pytest.fail("read what is in memory"))
    sharp_and_smooth = [FeatureScoring(part, method), FeatureScoring(other, method)]
    score_jointly(sharp_and_smooth)
    assert fits == [TRAIN]
    smooth, sharp = (scoring.scores.anomaly_map(part.scored[0]) for scoring in sharp_and_smooth)
    assert not np.array_equal(smooth, sharp)


@pytest.mark.parametrize(("memory", "often"), [(1.0, 1), (1e-9, TEST)])
def test_training_images_are_prepared_for_the_search_once_where_they_fit(
    part: Part, memory: float, often: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search compares with all of them."""
    made: list[Frame] = []
    searched = Frame.searched

    def counted(frame: Frame, levels: Any) -> Searched:
        made.append(frame)
        return searched(frame, levels)

    monkeypatch.setattr(Frame, "searched", counted)
    score_jointly(
        scorings(part.of(replace(part.job, memory_gib=memory)), spade(upsampling="bilinear", k_gallery=TRAIN))
    )
    assert len(set(made)) == 1
    assert len(made) == TEST + TRAIN * often


def test_images_held_out_are_scored_without_them_and_their_states_are_not_kept(part: Part) -> None:
    scoring = FeatureScoring(part, PaDiM(dimensions=5))
    found = {record.sha256: (record, values) for record, values in scoring.held_out(part.train, maps=True)}
    assert found.keys() == set(part.train)
    assert not list(part.store.states())
    trained, method = sorted(part.train), PaDiM(dimensions=5)
    for key in part.train[:2]:
        fold = trained.index(key) * fitted.FOLDS // TRAIN
        out = {other for place, other in enumerate(trained) if place * fitted.FOLDS // TRAIN == fold}
        others = fitted.training_images(part.held_out(out), method.reads)
        assert len(others) == TRAIN - len(out)
        query = Query(part.features.embeddings([key])[0], part.features.pyramid(key, method.reads), key)
        expected, pixels = scoring.result(key, method.scorer(method.fit(others), others)(query))
        assert found[key][0] == expected
        np.testing.assert_array_equal(found[key][1], pixels)


def test_fitting_shares_the_memory_with_what_is_kept(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(type(part), "pyramids", lambda _self, _strides, memory: given.append(memory))
    bound = part.job.memory_bytes
    assert fitted.training_images(part, (8,)).memory == bound
    assert fitted.training_images(part, (8,), fits=True).memory == bound / 2
    assert given == [bound, bound / 2]
