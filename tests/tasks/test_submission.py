from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import spade
from PIL import Image, TiffImagePlugin
from published import mvtec, mvtec_ad_2
from tiny import spade as small_spade

from flows.evaluate import evaluate
from storage.errors import StoreError
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.pictures.restore import restore
from tasks.submission import MAPS, MASKS, check_submission, export_submission

NAMES = ("can/test_private/000_regular", "can/test_private_mixed/000_mixed")


@pytest.fixture(scope="module")
def store(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """With a run on a copy of MVTec AD 2 by two methods, of which one has no maps."""
    folder = tmp_path_factory.mktemp("submission")
    mvtec_ad_2(folder / "data")
    methods = ["dn2", small_spade().label]
    evaluate(str(folder / "data"), str(folder / "store"), settings(), run_id="run", methods=methods)
    return str(folder / "store")


def float16_of(path: Path) -> np.ndarray:
    """A TIFF in one piece, by its tags."""
    content = path.read_bytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    assert (tags[258], tags[259], tags[339]) == ((16,), 1, (3,))
    values = b"".join(
        content[start : start + count] for start, count in zip(tags[273], tags[279], strict=True)
    )
    return np.frombuffer(values, "<f2").reshape(tags[257], tags[256])


def test_a_submission_has_the_maps_and_masks_of_the_private_images(store: str, tmp_path: Path) -> None:
    written = export_submission(store, "run", tmp_path, fpr=0.25)
    assert written.images == 2
    assert "--protocol full" in str(written.note)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        f"{kind}/{name}{end}" for name in NAMES for kind, end in ((MAPS, ".tiff"), (MASKS, ".png"))
    }
    results = Results(store)
    record = results.rows("run", "run")[0]
    from tasks.run.tables import configuration_of

    for name in NAMES:
        anomaly_map = results.anomaly_map("run", f"{name}.png")
        heat = restore(anomaly_map, configuration_of(record).preprocessing, 24, 27)
        values = float16_of(tmp_path / MAPS / f"{name}.tiff")
        assert values.shape == (24, 27)
        inside = ~np.isnan(heat)
        ratio = values[inside].astype(np.float64) / heat[inside]
        assert np.ptp(ratio) < 0.002 * ratio.mean()  # one factor, to the digits of float16
        assert np.log2(np.median(ratio)) == pytest.approx(round(np.log2(np.median(ratio))), abs=1e-3)
        assert values.max() < 1024
        mask = np.asarray(Image.open(tmp_path / MASKS / f"{name}.png"))
        np.testing.assert_array_equal(mask, np.where(heat > written.thresholds["can"], 255, 0))


def test_what_is_no_submission_is_named(store: str, tmp_path: Path) -> None:
    export_submission(store, "run", tmp_path, fpr=0.25)
    manifest = Results(store).rows("manifest", "run")
    from storage.datasets.manifest import ImageFile

    names = ImageFile.__dataclass_fields__
    images = [
        ImageFile(**{name: row[name] for name in names}) for row in manifest if row["split"] == "unlabelled"
    ]
    check_submission(tmp_path, images)
    with pytest.raises(StoreError, match=r"000_regular\.tiff holds .*27, 24.*, not .*27, 25"):
        check_submission(tmp_path, [replace(images[0], height=25), images[1]])
    mask = tmp_path / MASKS / f"{NAMES[0]}.png"
    whole = mask.read_bytes()
    Image.fromarray(np.full((24, 27), 1, np.uint8)).save(mask)
    with pytest.raises(StoreError, match=r"000_regular\.png holds \('other values'"):
        check_submission(tmp_path, images)
    mask.unlink()
    with pytest.raises(StoreError, match=r"000_regular\.png cannot be read"):
        check_submission(tmp_path, images)
    mask.write_bytes(whole)
    (tmp_path / MAPS / "can" / "odd.tiff").write_bytes(b"")
    with pytest.raises(StoreError, match=r"odd\.tiff is of no image without a label"):
        check_submission(tmp_path, images)


def test_what_cannot_be_submitted_is_one_sentence(
    store: str, tmp_path: Path, settings: Callable[..., Configuration]
) -> None:
    with pytest.raises(ConfigurationError, match=r"a false-positive rate of 0\.01 needs 99 normal images"):
        export_submission(store, "run", tmp_path)
    with pytest.raises(StoreError, match="no anomaly map by dn2"):
        export_submission(store, "run", tmp_path, method="dn2")
    with pytest.raises(StoreError, match="run run has no category 'cup': it has can"):
        export_submission(store, "run", tmp_path, category="cup")
    mvtec(tmp_path / "data")
    evaluate(str(tmp_path / "data"), store, settings(), run_id="other", methods=[small_spade().label])
    command = ("export", tmp_path / "maps", "--store", store, "--format", "mvtec_ad_2")
    code, _, error = spade(*command, "--run", "other")
    assert code == 2
    assert error.startswith("error: format is 'mvtec_ad_2': run other is of a dataset in the layout mvtec")
    code, out, error = spade(*command, "--run", "run", "--fpr", 0.25)
    assert (code, error) == (0, "")
    assert out.startswith("2 images, checked: ")
    assert "threshold of can: " in out
