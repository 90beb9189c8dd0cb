"""What a dataset holds, and what a run of it would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from inspect import cleandoc
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING

from flows.cli.screen.progress import progress_display
from flows.cli.screen.tables import print_table, rendered
from storage.datasets import masks
from storage.datasets.dataset import find_categories
from storage.datasets.layouts.known import LAYOUTS
from storage.datasets.manifest import Manifest, last_manifest
from storage.datasets.proposal import propose, register
from storage.datasets.published import Published, compare, known_dataset
from storage.datasets.registry import Registration
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.store import Store
from tasks.progress import report_files

if TYPE_CHECKING:
    from tasks.run.plan import Plan


def inspect_dataset(named: Registration, store: str, *, every: bool = False, verify: bool = False) -> None:
    """Read a dataset as the next run would, and show what it holds; nothing is written."""
    known = last_manifest(Store.peek(store), named.dataset.name)
    with progress_display(enabled=True):
        manifest = read_manifest(
            named.dataset, named.categories, known=known, verify=verify, progress=report_files
        )
    print(f"{named.dataset.root}: layout {named.dataset.layout.kind}")
    print_inspection(manifest, every=every)
    every_category = find_categories(named.dataset)
    published = known_dataset(named.dataset.layout, every_category)
    if published is not None:
        print_published(manifest, published, every_category)


def add_dataset(name: str, root: str, registry: str, layout: str | None = None, *, write: bool) -> None:
    """Show the entry that a folder gets in the file of registered datasets, and write it if asked to."""
    with progress_display(enabled=True):
        proposal = propose(name, root, layout, report_files)
    print(proposal.entry())
    print_inspection(proposal.manifest)
    if write:
        register(Path(registry), proposal)
    print(f"written to {registry}" if write else f"(--yes writes the entry to {registry})")


def print_inspection(manifest: Manifest, *, every: bool = False) -> None:
    """What each category holds, then an example of each kind of problem in it, or every file that has one."""
    print_table(rendered([_row(manifest.of(category)) for category in manifest.categories()], "inspection"))
    problems = _problems(manifest)
    for (category, heading, _), texts in problems.items():
        if every:
            print("\n".join(f"{heading}: {text}" for text in texts))
        else:
            number = "1 file:" if len(texts) == 1 else f"{len(texts)} files, such as"
            print(f"{heading} in {category}: {number} {texts[0]}")
    for category in manifest.categories():
        doubt = masks.doubt(manifest.of(category).files)
        if doubt is not None:
            print(f"masks in {category}: {doubt}")
    if not every and any(len(texts) > 1 for texts in problems.values()):
        print("(--all names every file)")


def print_published(manifest: Manifest, known: Published, categories: Sequence[str]) -> None:
    """How many of the published images are there: a line a category that is whole, or a split that is not."""
    rows = compare(manifest, known)
    for category in manifest.categories():
        own = [row for row in rows if row.category == category]
        found, published = sum(row.found for row in own), sum(row.published for row in own)
        odd = [row for row in own if row.found != row.published]
        whole = f"{known.title} {category}: {found:,} of {published:,}"
        print("\n".join(str(row) for row in odd) if odd else whole)
    lacking = sorted(known.categories.keys() - set(categories))
    if lacking:
        print(f"{known.title}: {len(lacking)} categories are not there: {', '.join(lacking)}")


def print_layouts() -> None:
    """Every layout by its name, with what it expects."""
    for kind, layout in LAYOUTS.items():
        print(f"{kind}\n{indent(cleandoc(layout.__doc__ or '').rstrip(), '    ')}\n")


def _row(part: Manifest) -> dict[str, object]:
    defects = Counter(image.defect for image in part.test())
    sizes = Counter(f"{image.width}x{image.height} {image.mode}" for image in part.used())
    try:
        part.check()
        problem = ""
    except DatasetError as error:
        problem = str(error)
    return {
        "category": ", ".join(part.categories()),
        "train": len(part.train()),
        "validation": len(part.validation()) or None,
        "test": ", ".join(f"{kind} {count}" for kind, count in sorted(defects.items())),
        "unlabelled": len(part.unlabelled()) or None,
        "without mask": sum(image.mask_reason is not None for image in part.test()),
        "masks": masks.scale(part.files),
        "set aside": len(part.excluded()),
        "images": ", ".join(f"{size} ({count})" for size, count in sizes.most_common(3)),
        "cannot be evaluated": problem,
    }


def _problems(manifest: Manifest) -> dict[tuple[str, str, str], list[str]]:
    """Image and reason of each file that is not as it should be, by category, heading and kind of reason."""
    problems: dict[tuple[str, str, str], list[str]] = {}
    for image in manifest.files:
        for heading, text in (
            ("set aside", image.reason),
            ("without mask", image.mask_reason),
            ("warning", image.warning),
        ):
            if text is not None:
                kind = text.split(": ")[0]
                problems.setdefault((image.category, heading, kind), []).append(f"{image.image_id}: {text}")
    return problems


def print_plan(plan: Plan) -> None:
    """What is left to do in each category and in total, and about how long that takes."""
    rows, total = [asdict(estimate) for estimate in plan.categories], plan.total
    print_table(rendered(rows, "plan", asdict(total) if len(rows) > 1 else None, decimals=2))
    if total.extract or total.score or total.other:
        print(
            f"about {total.minutes:.1f} minutes of computing on {plan.device}, measured with random images; "
            "reading and writing files comes on top" + (", other methods too" if total.other else "")
        )
    else:
        print("nothing to extract, nothing to score: a run takes no time to speak of")
