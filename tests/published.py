"""Small faithful copies of the layouts of published datasets, drawn with a seed, and what they hold."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny import write_campus, write_image

SIDE = 24


@dataclass(frozen=True)
class Held:
    """What a category of a copy holds: numbers of images, pixels of each mask by the image's path."""

    train: int
    good: int = 0
    defects: Mapping[str, int] = field(default_factory=dict)
    validation: int = 0
    unlabelled: int = 0
    set_aside: int = 0
    samples: int = 0
    pixels: Mapping[str, int] = field(default_factory=dict)


class Painter:
    """Writes images, each another, and masks of a rectangle of a known number of pixels."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rng = np.random.default_rng(0)
        self.pixels: dict[str, int] = {}

    def image(self, *names: str) -> None:
        for name in names:
            noise = self.rng.normal(110, 20, (SIDE, SIDE + 3, 3)).clip(0, 255)
            write_image(self.root / name, noise.astype(np.uint8))

    def mask(
        self, name: str, of: str | None = None, *, value: int = 255, height: int = 3, top: int = 4
    ) -> None:
        values: NDArray[Any] = np.zeros((SIDE, SIDE + 3), np.uint16 if value > 255 else np.uint8)
        values[top : top + height, 5:9] = value
        write_image(self.root / name, values)
        if of is not None:
            self.pixels[of] = self.pixels.get(of, 0) + 4 * height


def mvtec(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"nut/train/good/{n:03}.png" for n in range(4)), "nut/test/good/000.png")
    paint.image("nut/test/bent/000.png", "nut/test/scratch/000.png")
    for kind in ("bent", "scratch"):
        paint.mask(f"nut/ground_truth/{kind}/000_mask.png", f"nut/test/{kind}/000.png")
    return {"nut": Held(4, 1, {"bent": 1, "scratch": 1}, pixels=paint.pixels)}


def btad(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"01/train/ok/{n:04}.bmp" for n in range(3)), "01/test/ok/0000.bmp", "01/test/ko/0001.bmp")
    paint.mask("01/ground_truth/ko/0001.png", "01/test/ko/0001.bmp")
    paint.image(*(f"03/train/ok/{n:04}.bmp" for n in range(2)), "03/test/ok/0000.bmp", "03/test/ko/0001.bmp")
    paint.mask("03/ground_truth/ko/0001.bmp", "03/test/ko/0001.bmp")
    return {name: Held(n, 1, {"ko": 1}, pixels=paint.pixels) for name, n in (("01", 3), ("03", 2))}


def mvtec_ad_2(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(
        *(f"can/train/good/{n:03}_regular.png" for n in range(4)), "can/validation/good/000_regular.png"
    )
    paint.image("can/test_public/good/000_regular.png", "can/test_public/bad/000_overexposed.png")
    paint.mask(
        "can/test_public/ground_truth/bad/000_overexposed_mask.png", "can/test_public/bad/000_overexposed.png"
    )
    paint.image("can/test_private/000_regular.png", "can/test_private_mixed/000_mixed.png")
    return {"can": Held(4, 1, {"bad": 1}, validation=1, unlabelled=2, pixels=paint.pixels)}


def mvtec_loco(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"box/train/good/{n:03}.png" for n in range(4)), "box/validation/good/000.png")
    paint.image("box/test/good/000.png", "box/test/logical_anomalies/000.png")
    paint.image("box/test/structural_anomalies/000.png")
    for number, value in enumerate((255, 250)):
        logical = f"box/ground_truth/logical_anomalies/000/{number:03}.png"
        paint.mask(logical, "box/test/logical_anomalies/000.png", value=value, top=2 + 8 * number)
    paint.mask(
        "box/ground_truth/structural_anomalies/000/000.png",
        "box/test/structural_anomalies/000.png",
        value=234,
    )
    saturations(root / "box", {255: (6, False), 250: (0.5, True), 234: (100, False)})
    defects = {"logical_anomalies": 1, "structural_anomalies": 1}
    return {"box": Held(4, 1, defects, validation=1, pixels=paint.pixels)}


def saturations(category: Path, of_values: Mapping[int, tuple[float, bool]]) -> None:
    """What MVTec LOCO AD states: by the value of masks an area, and whether it is a share."""
    kinds = [
        {
            "defect_name": f"kind {value}",
            "pixel_value": value,
            "saturation_threshold": threshold,
            "relative_saturation": relative,
        }
        for value, (threshold, relative) in of_values.items()
    ]
    (category / "defects_config.json").write_text(json.dumps(kinds))


def mvtec_3d(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"bagel/train/good/rgb/{n:03}.png" for n in range(3)), "bagel/validation/good/rgb/000.png")
    paint.image("bagel/test/good/rgb/000.png", "bagel/test/hole/rgb/000.png")
    paint.mask("bagel/test/good/gt/000.png", height=0)
    paint.mask("bagel/test/hole/gt/000.png", "bagel/test/hole/rgb/000.png")
    for name in ("train/good", "test/hole"):
        (root / "bagel" / name / "xyz").mkdir()
        (root / "bagel" / name / "xyz/000.tiff").write_bytes(b"not looked at")
    return {"bagel": Held(3, 1, {"hole": 1}, validation=1, pixels=paint.pixels)}


def autovi(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"engine/train/good/{n:04}.png" for n in range(3)), "engine/test/good/0000.png")
    paint.image("engine/test/missing/0000.png")
    for number in range(2):
        mask = f"engine/ground_truth/missing/0000/{number:04}.png"
        paint.mask(mask, "engine/test/missing/0000.png", top=2 + 8 * number)
    return {"engine": Held(3, 1, {"missing": 1}, pixels=paint.pixels)}


def visa(root: Path) -> dict[str, Held]:
    paint, rows = Painter(root), []
    for name in ("candle", "pcb1"):
        images, masks = f"{name}/Data/Images", f"{name}/Data/Masks/Anomaly"
        for number in range(5):
            path = f"{images}/Normal/{number:04}.JPG"
            paint.image(path)
            rows.append([name, "train" if number < 4 else "test", "normal", path, ""])
        for number in range(2):
            path, mask = f"{images}/Anomaly/{number:03}.JPG", f"{masks}/{number:03}.png"
            paint.image(path)
            paint.mask(mask, path, value=number + 1)
            rows.append([name, "test", "anomaly", path, mask])
    (root / "split_csv").mkdir()
    with (root / "split_csv/1cls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["object", "split", "label", "image", "mask"], *rows])
    return {name: Held(4, 1, {"anomaly": 2}, pixels=paint.pixels) for name in ("candle", "pcb1")}


def visa_1cls(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    paint.image(*(f"candle/train/good/{n:04}.JPG" for n in range(4)), "candle/test/good/0004.JPG")
    for number in range(2):
        paint.image(f"candle/test/bad/{number:03}.JPG")
        paint.mask(f"candle/ground_truth/bad/{number:03}.png", f"candle/test/bad/{number:03}.JPG")
    return {"candle": Held(4, 1, {"bad": 2}, pixels=paint.pixels)}


def kolektor_sdd(root: Path) -> dict[str, Held]:
    """Six normal images and two with defects; how the six are divided, their content says."""
    paint = Painter(root)
    for number in range(4):
        for part in range(2):
            name = f"kos{number:02}/Part{part}"
            defective = part == 0 and number < 2
            paint.image(f"{name}.jpg")
            paint.mask(f"{name}_label.bmp", f"{name}.jpg" if defective else None, height=3 * defective)
    return {root.name: Held(4, 2, {"defect": 2}, pixels=paint.pixels)}


def kolektor_sdd2(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    for split in ("train", "test"):
        for number in range(3):
            name = f"{split}/{20000 + number}"
            paint.image(f"{name}.png")
            paint.mask(f"{name}_GT.png", f"{name}.png" if number == 0 else None, height=3 * (number == 0))
    del paint.pixels["train/20000.png"]
    return {root.name: Held(2, 2, {"defect": 1}, set_aside=1, pixels=paint.pixels)}


def dagm(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    for split in ("Train", "Test"):
        paint.image(*(f"Class1/{split}/{n:04}.PNG" for n in range(1, 5)))
        paint.mask(f"Class1/{split}/Label/0002_label.PNG", f"Class1/{split}/0002.PNG")
        (root / f"Class1/{split}/Label/Labels.txt").write_text("1\n")
    del paint.pixels["Class1/Train/0002.PNG"]
    return {"Class1": Held(3, 3, {"defect": 1}, set_aside=1, pixels=paint.pixels)}


def real_iad(root: Path) -> dict[str, Held]:
    """One sample a line, from five sides each; one defective."""
    paint = Painter(root)
    lists: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    for split, sample, kind in (("train", 1, "OK"), ("test", 2, "OK"), ("test", 3, "AK")):
        for view in range(1, 6):
            stem = f"{kind}/S{sample:04}/audiojack_{sample:04}_{kind}_C{view}_2023"
            paint.image(f"realiad_256/audiojack/{stem}.jpg")
            bad = kind != "OK" and view < 3
            if bad:
                paint.mask(f"realiad_256/audiojack/{stem}.png", f"realiad_256/audiojack/{stem}.jpg")
            lists[split].append(
                {
                    "anomaly_class": kind if bad else "OK",
                    "image_path": f"{stem}.jpg",
                    "mask_path": f"{stem}.png" if bad else None,
                }
            )
    (root / "realiad_jsons/realiad_jsons").mkdir(parents=True)
    (root / "realiad_jsons/realiad_jsons/audiojack.json").write_text(json.dumps(lists))
    return {"audiojack": Held(5, 8, {"AK": 2}, samples=3, pixels=paint.pixels)}


def coco(root: Path) -> dict[str, Held]:
    """Rectangles as polygons, whose outlines are in them, and as run lengths; a defect to train with."""
    paint = Painter(root)
    (root / "annotations").mkdir()
    kinds = [{"id": 1, "name": "dent"}, {"id": 2, "name": "hole"}]
    box = [5, 4, 8, 4, 8, 6, 5, 6]
    runs = {"counts": [10, 3, (SIDE + 3) * SIDE - 13], "size": [SIDE, SIDE + 3]}
    parts: dict[str, dict[int, list[tuple[int, Any]]]] = {
        "train2017": {2: [(1, [box])]},
        "val2017": {5: [(1, [box]), (2, runs)], 6: [(2, runs)]},
    }
    for part, bad in parts.items():
        numbers = range(0, 4) if part == "train2017" else range(4, 8)
        paint.image(*(f"{part}/{n:012}.jpg" for n in numbers))
        table = {
            "images": [
                {"id": n, "file_name": f"{n:012}.jpg", "height": SIDE, "width": SIDE + 3} for n in numbers
            ],
            "categories": kinds,
            "annotations": [
                {"id": n, "image_id": n, "category_id": kind, "segmentation": shape}
                for n, shapes in bad.items()
                for kind, shape in shapes
            ],
        }
        (root / f"annotations/instances_{part}.json").write_text(json.dumps(table))
    pixels = {"val2017/000000000005.jpg": 12 + 3, "val2017/000000000006.jpg": 3}
    return {root.name: Held(3, 0, {"dent+hole": 1, "hole": 1}, validation=2, set_aside=1, pixels=pixels)}


def table(root: Path) -> dict[str, Held]:
    paint = Painter(root)
    rows = [["image", "split", "label", "mask", "category"]]
    for number, (split, label) in enumerate(
        [("train", "good")] * 3
        + [("train", "dent"), ("val", ""), ("test", "0"), ("test", "dent"), ("test", "")]
    ):
        paint.image(f"images/{number}.png")
        mask = f"masks/{number}.png" if (split, label) == ("test", "dent") else ""
        if mask:
            paint.mask(mask, f"images/{number}.png", value=65535)
        rows.append([f"images/{number}.png", split, label, mask, "cog"])
    with (root / "images.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return {"cog": Held(3, 1, {"dent": 1}, validation=1, unlabelled=1, set_aside=1, pixels=paint.pixels)}


def frames(root: Path) -> dict[str, Held]:
    write_campus(root, lengths=(11, 6))
    pixels = {f"testing/frames/01_0001/{number:03}.png": 8 * 9 for number in (5, 10)}
    return {root.name: Held(5, 3, {"anomalous": 2}, pixels=pixels)}


COPIES: dict[str, Callable[[Path], dict[str, Held]]] = {
    "mvtec": mvtec,
    "mpdd": mvtec,
    "btad": btad,
    "mvtec_ad_2": mvtec_ad_2,
    "mvtec_loco": mvtec_loco,
    "mvtec_3d": mvtec_3d,
    "autovi": autovi,
    "visa": visa,
    "visa_1cls": visa_1cls,
    "kolektor_sdd": kolektor_sdd,
    "kolektor_sdd2": kolektor_sdd2,
    "dagm": dagm,
    "real_iad": real_iad,
    "coco": coco,
    "frames": frames,
    "table": table,
}
