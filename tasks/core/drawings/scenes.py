"""The three drawn categories: a woven fabric, a metal gear and a connector with a row of pins."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from tasks.core.drawings.shapes import (
    SIZE,
    Field,
    Mask,
    around,
    blend,
    blob,
    box,
    clouds,
    coverage,
    grain,
    paint,
    pose,
    relief,
    scratched,
    shadow,
    stained,
)

Scene = Callable[[np.random.Generator, str, np.random.Generator], tuple[Field, Mask]]
"""From (part's generator, kind, defect's generator) to the picture and the pixels of moved or lost parts."""

_LIGHT = np.deg2rad(-125)
_FAR = np.float32(99)


def fabric(rng: np.random.Generator, kind: str, flaw: np.random.Generator) -> tuple[Field, Mask]:
    """Plain weave of two yarns; may be stained, scratched or lack a stretch of one or two threads."""
    frame = pose(rng, turn=2, shift=8, zoom=0.012)
    pitch = 8
    column, row = ((axis + clouds(rng, 60)) / pitch for axis in frame)
    i, j = np.floor(column).astype(int), np.floor(row).astype(int)
    x, y = column - i - 0.5, row - j - 0.5
    warp_yarn, weft_yarn = rng.normal(1, 0.03, (2, 2 * SIZE))
    fibre = grain(rng, 0.6)
    warp = _yarn(x, y) * warp_yarn[i] * (1 + 0.05 * fibre)
    weft = _yarn(y, x) * weft_yarn[j] * (1 + 0.05 * fibre)

    lost = np.zeros((SIZE, SIZE), bool)
    if kind == "missing":
        thread, threads = j - flaw.integers(-9, 9), flaw.integers(1, 3)
        middle, length = flaw.uniform(-6, 6), flaw.uniform(9, 20)
        lost = (thread >= 0) & (thread < threads) & (np.abs(column - middle + thread) < length / 2)
        warp = np.where(lost, 0.7 * warp, warp)
    warp_up = ((i + j) % 2 == 0) | lost
    image = np.where(warp_up[..., None], paint(warp, (0.80, 0.76, 0.70)), paint(weft, (0.62, 0.66, 0.72)))
    image = image * (1 + 0.01 * clouds(rng, 40))[..., None]

    spot = around(frame, flaw.uniform(-70, 70, 2))
    if kind == "stain":
        image = stained(image, flaw, spot, flaw.uniform(14, 36), (0.55, 0.42, 0.30))
    if kind == "scratch":
        frayed = paint(0.9 + 0.1 * fibre, (0.98, 0.97, 0.95))
        length, width, opacity = flaw.uniform((60, 2.5, 0.25), (130, 6, 0.9))
        image = scratched(image, flaw, spot, length, width, frayed, opacity)
    return image, lost


def gear(rng: np.random.Generator, kind: str, flaw: np.random.Generator) -> tuple[Field, Mask]:
    """Turned steel gear on a mat; may have a chipped or missing tooth, a scratch or a rust stain."""
    frame = pose(rng, turn=5, shift=4, zoom=0.015)
    radius, angle = np.hypot(*frame), np.arctan2(frame[1], frame[0])
    mat = _mat(rng, (0.42, 0.39, 0.36))
    lathe = 0.5 * np.interp(radius, np.arange(SIZE), rng.standard_normal(SIZE)) + 0.7 * grain(rng, 0.8)
    polish = 0.014 * lathe + 0.02 * clouds(rng, 40)

    teeth, root, height, holes = 12, 74, 19, 5
    tooth = np.round(angle * teeth / (2 * np.pi)).astype(int)
    profile = np.clip(0.5 + 1.1 * np.cos(teeth * angle), 0, 1)
    if kind == "missing":
        gone = (tooth - flaw.integers(teeth)) % teeth < flaw.integers(1, 3)
        profile = np.where(gone, flaw.uniform(0, 0.15) * profile, profile)
    rim = radius - root - height * profile
    spoke = (angle + np.pi / holes) % (2 * np.pi / holes) - np.pi / holes
    hole = np.hypot(radius * np.cos(spoke) - 50, radius * np.sin(spoke)) - 13
    bore = np.minimum(radius - 20, box(around(frame, (20, 0)), 8, 6, 1))
    outline = np.maximum(rim / np.clip(np.hypot(*np.gradient(rim)), 1, 3), -np.minimum(hole, bore))
    crack = np.full_like(outline, _FAR)
    if kind == "chip":
        corner = 2 * np.pi / teeth * flaw.integers(teeth) + flaw.choice([-0.13, 0.13])
        spot = flaw.uniform(root + height / 2, root + height) * np.array([np.cos(corner), np.sin(corner)])
        crack = blob(flaw, around(frame, spot), flaw.uniform(11, 18), ragged=0.15)
        outline = np.maximum(outline, -crack)

    body, hub = coverage(outline), coverage(np.abs(radius - 27) - 6, 2)
    glare = np.cos(2 * (angle - _LIGHT)) ** 2
    shade = 0.52 + 0.16 * glare + polish + 0.05 * hub + 0.08 * coverage(crack - 2, 3) * (1 + 0.5 * lathe)
    shade = shade + 0.5 * relief(body, _LIGHT, 2) + 0.35 * relief(hub, _LIGHT, 1.2)
    metal = paint(shade, (0.97, 1.0, 1.04))
    web = 2 * np.pi / holes * (flaw.integers(holes) + flaw.uniform(0.3, 0.7))
    mark = around(frame, flaw.uniform(34, 74) * np.array([np.cos(web), np.sin(web)]))
    if kind == "scratch":
        length, width, opacity = flaw.uniform((50, 2, 0.5), (100, 5, 1))
        metal = scratched(metal, flaw, mark, length, width, paint(0.95 + 0.1 * lathe, (1, 1, 1)), opacity)
    if kind == "stain":
        metal = stained(metal, flaw, mark, flaw.uniform(13, 28), (0.75, 0.45, 0.25))
    mat = mat * (1 - 0.45 * shadow(body, _LIGHT, 6, 4))[..., None]
    return blend(mat, metal, body), np.zeros((SIZE, SIZE), bool)


def connector(rng: np.random.Generator, kind: str, flaw: np.random.Generator) -> tuple[Field, Mask]:
    """Plastic housing with a row of pins; may have a bent or missing pin, a chipped edge or a scratch."""
    frame = across, down = pose(rng, turn=5, shift=5, zoom=0.02)
    mat = _mat(rng, (0.50, 0.60, 0.57))
    resin = grain(rng, 0.9) + clouds(rng, 30)
    pins, pitch, neck = 8, 20.0, 10.0
    places = pitch * (np.arange(pins) - (pins - 1) / 2)
    roots, lengths = places + rng.normal(0, 0.6, pins), rng.normal(74, 1, pins)

    pin = np.clip(np.round(across / pitch + (pins - 1) / 2), 0, pins - 1).astype(int)
    row = _pin(across - roots[pin], down - neck, lengths[pin])
    moved = np.zeros((SIZE, SIZE), bool)
    chosen = flaw.integers(pins)
    if kind == "bent":
        knee, turn = flaw.uniform(22, 45), np.deg2rad(flaw.choice([-1, 1]) * flaw.uniform(4, 22))
        x, y = around(frame, (roots[chosen], neck + knee))
        aside, along = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        leg, straight = _pin(aside, along, lengths[chosen] - knee), (pin == chosen) & (y > 0)
        moved = (straight & (row < 0)) | ((leg < 0) & (y > 0))
        row = np.minimum(np.where(straight, _FAR, row), leg)
    if kind == "missing":
        broken = (pin == chosen) & (down - neck > flaw.uniform(5, 55))
        moved = broken & (row < 0)
        row = np.where(broken, _FAR, row)

    housing = around(frame, (0, -24))
    shell = np.minimum(box(housing, 84, 36, 5), box(housing, 100, 14, 6))
    shell = np.maximum(shell, 6 - np.hypot(np.abs(across) - 91, housing[1]))
    crack = np.full_like(shell, _FAR)
    if kind == "chip":
        edge = around(housing, (flaw.uniform(-80, 80), flaw.choice([-36, 36])))
        crack = blob(flaw, edge, flaw.uniform(5, 12), ragged=0.2)
        shell = np.maximum(shell, -crack)
    body, legs = coverage(shell), coverage(row)
    socket = coverage(box((across - places[pin], down + 22), 6, 9, 1.5))
    rail = coverage(box(around(housing, (0, -26)), 60, 4, 2))

    image = mat * (1 - 0.5 * shadow(np.maximum(body, 0.4 * legs), _LIGHT, 6, 4))[..., None]
    shade = 0.50 + 0.32 * np.sqrt(np.clip(-row / 4, 0, 1)) + 0.35 * relief(legs, _LIGHT, 1.5) + 0.008 * resin
    image = blend(image, paint(shade, (1.02, 0.93, 0.72)), legs)
    shade = 0.30 + 0.02 * resin + 0.35 * relief(body, _LIGHT, 2) + 0.3 * relief(rail - socket, _LIGHT, 1.2)
    shade = shade * (1 - 0.65 * socket) + 0.10 * coverage(crack - 4, 3) * (1 + 0.4 * resin)
    plastic = paint(shade, (0.93, 1.0, 1.12))
    if kind == "scratch":
        mark = around(housing, flaw.uniform((-65, -26), (65, 26)))
        length, width, opacity = flaw.uniform((30, 1.5, 0.25), (70, 3.5, 0.75))
        bare = np.full_like(plastic, 0.62)
        plastic = scratched(plastic, flaw, mark, length, width, bare, opacity)
    return blend(image, plastic, body), moved


def _yarn(aside: Field, along: Field) -> Field:
    """Shading of twisted yarn that dips under its neighbours, in units of the weave's pitch."""
    arch = (0.45 + 0.55 * np.cos(np.pi * aside)) * (0.82 + 0.18 * np.cos(np.pi * along))
    return np.asarray(arch * (1 + 0.07 * np.sin(2 * np.pi * (2 * aside + along))), np.float32)


def _pin(aside: Field, along: Field, length: Field | np.float64) -> Field:
    """Signed distance to a round-ended pin that runs from the origin."""
    return np.asarray(np.hypot(aside, along - np.clip(along, 0, length)) - 4, np.float32)


def _mat(rng: np.random.Generator, colour: tuple[float, float, float]) -> Field:
    """Matt support the parts lie on, with a few bits of lint."""
    mat = paint(1 + 0.03 * grain(rng, 0.8) + 0.025 * clouds(rng, 25), colour)
    for _ in range(rng.poisson(1.5)):
        place = pose(rng, turn=0, shift=110, zoom=0)
        length, width, opacity = rng.uniform((8, 1, 0.2), (22, 2, 0.6))
        mat = scratched(mat, rng, place, length, width, np.full_like(mat, 0.85), opacity)
    return mat


SCENES: Mapping[str, Scene] = MappingProxyType({"fabric": fabric, "gear": gear, "connector": connector})
