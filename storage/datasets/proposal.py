"""An entry of the file of registered datasets, from a look at a folder."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from storage.datasets import masks
from storage.datasets.dataset import Dataset
from storage.datasets.layouts.known import LAYOUTS, MVTEC, layout_named, recognise
from storage.datasets.manifest import Manifest
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError


@dataclass(frozen=True)
class Proposal:
    """A dataset under a name, and what was found in it."""

    name: str
    dataset: Dataset
    manifest: Manifest

    def entry(self) -> str:
        """The tables of the entry, in TOML, with what was found as comments."""
        layout = self.dataset.layout
        default = LAYOUTS[layout.kind]
        lines = [f"[datasets.{_key(self.name)}]", f"root = {json.dumps(self.dataset.root)}"]
        for category in self.manifest.categories():
            part = self.manifest.of(category)
            scale = masks.scale(part.files)
            lines.append(
                f"# {category}: {len(part.train())} to train with, {len(part.validation())} to validate, "
                f"{len(part.test())} to test, {len(part.unlabelled())} unlabelled, "
                f"{len(part.excluded())} set aside" + (f", masks {scale}" if scale else "")
            )
        if layout != MVTEC:
            settings = {
                field.name: getattr(layout, field.name)
                for field in fields(default)
                if field.name == "kind" or getattr(layout, field.name) != field.default
            }
            written = ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
            lines.append(f"layout = {{ {written} }}")
        return "\n".join(lines) + "\n"


def propose(
    name: str,
    root: str,
    layout: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proposal:
    """Look at a folder or a bucket's URL, whose layout is the one named or the one that it shows.

    Raises:
        DatasetError: it cannot be read in that layout, or no category in it can be evaluated.
    """
    found = Dataset.at(root)
    chosen = layout_named(layout) if layout is not None else recognise(found.tree()) or MVTEC
    dataset = Dataset(str(found.folder), name, chosen)
    manifest = read_manifest(dataset, progress=progress)
    for category in manifest.categories():
        try:
            manifest.of(category).check()
            break
        except DatasetError as error:
            reason = error
    else:
        raise reason
    return Proposal(name, dataset, manifest)


def register(path: Path, proposal: Proposal) -> None:
    """Append the entry to a file of registered datasets, which is made if there is none.

    Raises:
        DatasetError: the file cannot be read, or has an entry of that name.
    """
    try:
        text = path.read_text("utf-8") if path.exists() else ""
        known = tomllib.loads(text).get("datasets", {})
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"the registry {path} cannot be read ({error}): mend it or name another"
        ) from error
    if proposal.name in known:
        raise DatasetError(f"{path} has a dataset {proposal.name!r}: choose another name, or remove that")
    path.parent.mkdir(parents=True, exist_ok=True)
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    path.write_text(before + proposal.entry(), "utf-8")


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
