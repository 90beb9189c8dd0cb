"""What training images say of a category's test images: their neighbours, and the matches of patches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from storage.datasets.manifest import ImageFile, Manifest
from storage.results.report_folder import ReportFolder
from tasks.core.methods.interface import Method
from tasks.methods.matches import Match
from tasks.report.images import write_training
from tasks.report.matches import Found, matches
from tasks.report.source import Row, Source


@dataclass(frozen=True)
class Neighbor:
    """A training image near a test image; `name` below its split, `file` "" where it is gone."""

    rank: int
    image_id: str
    name: str
    squared_distance: float
    file: str


@dataclass(frozen=True)
class MatchView:
    """A match; the picture of its training image, "" where it is gone; that image's rank if it is near."""

    match: Match
    file: str
    rank: int | None


@dataclass(frozen=True)
class Explanations:
    """Neighbours and matches of test images by image_id, and which method they are by.

    Attributes:
        near_by: label of the method that names neighbours: the shown one, or the first that it joins that
            does; "" if none does.
        matched_by: the same of the one that says where the best match of a patch lies.
        competitors: which training images' patches compete, in words.
        neighbors: nearest first; none where no method names any.
        matches: one a matched grid, or why there are none.
    """

    near_by: str
    matched_by: str
    competitors: str
    neighbors: Mapping[str, list[Neighbor]]
    matches: Mapping[str, list[MatchView] | str]


def explain(
    source: Source, category: Row, part: Manifest, folder: ReportFolder, prefix: str, pool: Executor
) -> Explanations:
    """The explanations of a category's test images; pictures of the training images in them are written."""
    settled = source.settled(category["train"])
    labels = [member.label for member in source.method.members]
    near = _first(bool(member.neighbor_count) for member in settled.members)
    matcher = _first(member.correspondence is not None for member in settled.members)
    train, test = part.train(), part.tested()
    found: Found = {}
    competitors = ""
    if matcher is not None:
        method = settled.members[matcher]
        found = matches(source, source.scores(category), test, train, method, pool)
        competitors = _competitors(method)
    by_id = {entry.image_id: entry for entry in train}
    named = [row["neighbor_id"] for entry in test for row in source.neighbors.get(entry.image_id, [])]
    matched = [match.training.image_id for listed in found.values() for match in _listed(listed)]
    pictured = [by_id[image_id] for image_id in dict.fromkeys([*named, *matched])]
    files = write_training(source, pictured, folder, prefix, pool)
    split = f"{category['category']}/train/"
    neighbors = {entry.image_id: _neighbors(source, entry, split, files) for entry in test}
    return Explanations(
        "" if near is None else labels[near],
        "" if matcher is None else labels[matcher],
        competitors,
        neighbors,
        {image_id: _views(listed, neighbors[image_id], files) for image_id, listed in found.items()},
    )


def _first(answers: Iterable[bool]) -> int | None:
    """The place of the first that is true."""
    return next((place for place, answer in enumerate(answers) if answer), None)


def _competitors(method: Method) -> str:
    correspondence = method.correspondence
    return "" if correspondence is None else correspondence.competitors


def _listed(found: list[Match] | str) -> Sequence[Match]:
    return () if isinstance(found, str) else found


def _neighbors(source: Source, entry: ImageFile, split: str, files: Mapping[str, str]) -> list[Neighbor]:
    return [
        Neighbor(
            row["rank"],
            row["neighbor_id"],
            row["neighbor_id"].removeprefix(split),
            row["squared_distance"],
            files[row["neighbor_id"]],
        )
        for row in source.neighbors.get(entry.image_id, [])
    ]


def _views(
    found: list[Match] | str, neighbors: Sequence[Neighbor], files: Mapping[str, str]
) -> list[MatchView] | str:
    if isinstance(found, str):
        return found
    ranks = {neighbor.image_id: neighbor.rank for neighbor in neighbors}
    return [
        MatchView(match, files[match.training.image_id], ranks.get(match.training.image_id))
        for match in found
    ]
