from __future__ import annotations

import json
import shutil
from pathlib import Path

from command import spade


def test_new_images_are_scored_by_the_first_method_or_the_one_named(finished: Path) -> None:
    image = finished.parent / "tiny" / "nut" / "test" / "square" / "000.png"
    options = ("--store", finished, "--category", "nut", "--fpr", 0.25, "--json")
    for method, asked in (("spade(k_gallery=2)", ()), ("dn2(k=1)", ("--method", "dn2(k=1)"))):
        code, out, error = spade("score", image, *options, *asked)
        assert code == 0, error
        document = json.loads(out)
        assert document["method"] == method
        (row,) = document["images"]
        table = json.loads(
            spade(
                "results", "--store", finished, "--table", "images", "--method", method, "--format", "json"
            )[1]
        )
        (stored,) = [each for each in table if each["image_id"] == "nut/test/square/000.png"]
        assert (row["score_embedding"], row["score_map"]) == (stored["score_embedding"], stored["score_map"])
    code, _, error = spade("score", image, *options, "--method", "padim")
    assert (code, "no method 'padim' in run one: it has" in error) == (2, True)


def test_people_are_shown_verdicts_neighbours_and_pictures(finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished.parent / "tiny" / "nut" / "test" / "square" / "000.png", tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"")
    options = ("--store", finished, "--category", "nut", "--fpr", 0.25, "--rule", "map")
    code, out, _ = spade("score", tmp_path, *options, "--output", tmp_path / "out")
    assert code == 0
    for text in ("a.png", "verdict", "empty", "nut/train/good", "held-out normal images", "a.png.heat.png"):
        assert text in out
    assert (tmp_path / "out" / "a.png.heat.png").is_file()


def test_a_method_without_a_map_says_so(finished: Path) -> None:
    image = finished.parent / "tiny" / "nut" / "test" / "good"
    options = ("--store", finished, "--category", "nut", "--fpr", 0.25, "--method", "dn2(k=1)")
    code, out, _ = spade("score", image, *options)
    assert code == 0
    assert "score (embedding)" in out
    code, _, error = spade("score", image, *options, "--rule", "map")
    assert (code, error.count("\n")) == (2, 1)


def test_no_image_that_can_be_read_ends_with_exit_code_1(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"")
    code, out, _ = spade(
        "score", tmp_path / "broken.png", "--store", finished, "--category", "nut", "--fpr", 0.25
    )
    assert (code, "no score because" in out) == (1, True)
    code, _, error = spade("score", tmp_path, "--store", finished)
    assert (code, "category is not given" in error) == (2, True)
