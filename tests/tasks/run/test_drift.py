from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import write_category

from flows.evaluate import evaluate
from flows.nightly import BadNightError, nightly
from storage.computed.looks import Looks
from storage.results.reader import Results
from storage.results.schemas import DRIFT
from storage.store.tables import table_of
from tasks.core.config import Configuration
from tasks.core.metrics.drift import energy_test, mean_nearest_distance
from tasks.job import Part
from tasks.run.drift import MEASURES, drift_verdicts, measure_drift


def night(rng: np.random.Generator, brighter: float = 1.0) -> set[str]:
    """The verdicts of a night of two categories, whose images have an embedding and a brightness."""
    rows = []
    for category in ("nut", "bolt"):
        embeddings = rng.normal(size=(75, 6)) * [3, 2, 1, 1, 0.5, 0.2]
        brightness = rng.normal(0.4, 0.04, (75, 1))
        brightness[50:] *= brighter
        train, test = embeddings[:50], embeddings[50:]
        samples = {
            "embedding": (train, test),
            "distance": (
                mean_nearest_distance(train[1::2], train[::2], 5)[:, None],
                mean_nearest_distance(test, train[::2], 5)[:, None],
            ),
            "brightness": (brightness[:50], brightness[50:]),
        }
        rows += [
            {"category": category, "measure": name} | energy_test(*each)._asdict()
            for name, each in samples.items()
        ]
    return {row["measure"] for row in drift_verdicts(rows) if row["verdict"] == "drifted"}


def test_unchanged_nights_pass_and_a_fifth_more_light_is_seen() -> None:
    rng = np.random.default_rng(0)
    drifted = [bool(night(rng)) for _ in range(120)]
    assert np.mean(drifted) <= 0.05
    assert all(night(rng, brighter=1.2) == {"brightness"} for _ in range(5))


def test_p_values_are_corrected_for_all_that_is_compared() -> None:
    rows = [{"p_value": value} for value in (0.004, 0.5, 0.003)] + [{"reason": "too few"}]
    found = drift_verdicts(rows)
    assert [row["p_adjusted"] for row in found[:3]] == pytest.approx([0.009, 0.5, 0.009])
    assert [row["verdict"] for row in found] == ["drifted", "same", "drifted", "not comparable"]


def test_a_change_that_is_sure_and_small_is_none() -> None:
    rows = [{"p_value": 0.0001, "train_mean": 0.54, "test_mean": mean} for mean in (0.545, 0.57, 0.51)]
    assert [row["verdict"] for row in drift_verdicts(rows)] == ["same", "drifted", "drifted"]


def test_too_few_normal_images_are_not_comparable(part: Part) -> None:
    rows, stage = measure_drift.fn(part)
    found = table_of(drift_verdicts(rows), DRIFT).to_pylist()
    assert [row["measure"] for row in found] == [*MEASURES]
    assert {row["verdict"] for row in found} == {"not comparable"}
    assert found[0]["reason"] == "6 training and 2 normal test images: 6 of each are needed"
    assert (stage.computed, stage.total) == (0, 8)


def test_images_that_are_known_but_for_their_look_are_looked_at_again(part: Part) -> None:
    part.store.remove([part.store.looks()])
    assert measure_drift.fn(part)[1].computed == 8
    assert not Looks(part.store).missing([image.key for image in part.manifest.train()])
    assert measure_drift.fn(part)[1].computed == 0


@pytest.fixture
def registry(tmp_path: Path, resnet18_weights: Path) -> Path:
    """A registered dataset with ten normal images of each side."""
    write_category(tmp_path / "data", "nut", train=10, normal=10)
    path = tmp_path / "datasets.toml"
    path.write_text(
        f'[configurations.tiny]\nbackbone = "resnet18"\nweights = "{resnet18_weights}"\n'
        'metric_resolution = 32\nsigma = 1.0\nmethods = ["dn2"]\n'
        f'[datasets.tiny]\nroot = "{tmp_path / "data"}"\nconfigurations = ["tiny"]\n'
    )
    return path


def test_a_night_with_a_fifth_more_light_warns_and_fails_if_that_is_asked_for(
    prefect_server: None,  # noqa: ARG001
    registry: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = str(tmp_path / "store")
    (first,) = nightly(str(registry), store, drift_fails=True)
    assert (first.drifted, first.is_good) == (0, True)
    for path in (tmp_path / "data/nut/test/good").iterdir():
        values = np.asarray(Image.open(path)).astype(float) * 1.2
        Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(path)
    (second,) = nightly(str(registry), store)
    assert second.drifted > 0
    assert second.is_good
    assert "the normal test images drifted from the training images, by brightness" in caplog.text
    rows = {row["measure"]: row for row in Results(store).rows("drift")}
    assert rows["brightness"]["verdict"] == "drifted"
    assert rows["brightness"]["test_mean"] == pytest.approx(1.2 * rows["brightness"]["train_mean"], rel=0.1)
    assert rows["size"]["verdict"] == "same"
    with pytest.raises(BadNightError, match=r"tiny tiny: images drifted in \d ways"):
        nightly(str(registry), store, drift_fails=True)


def test_a_sweep_or_run_without_test_images_that_are_normal_is_not_comparable(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path: Path,
) -> None:
    write_category(tmp_path / "data", "nut", train=6, normal=0)
    run = evaluate(str(tmp_path / "data"), str(tmp_path / "store"), settings(), methods=["dn2"])
    assert {row["verdict"] for row in Results(tmp_path / "store").rows("drift", run)} == {"not comparable"}
