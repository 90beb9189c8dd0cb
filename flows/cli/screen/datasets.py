"""What a dataset holds, and what a run of it would take."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.cli.screen.tables import print_table, rendered
from storage.datasets.manifest import Manifest, last_manifest
from storage.datasets.registry import Registration
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.store import Store

if TYPE_CHECKING:
    from tasks.run.plan import Plan


def inspect_dataset(named: Registration, store: str, *, every: bool) -> None:
    """Read a dataset as the next run would, and show what it holds; nothing is written."""
    known = last_manifest(Store.peek(store), named.dataset.name)
    print_inspection(read_manifest(named.dataset, named.categories, known=known), every=every)


def print_inspection(manifest: Manifest, *, every: bool = False) -> None:
    """What each category holds, then an example of each kind of problem in it, or every file that has one."""
    rows = []
    for category in manifest.categories():
        part = manifest.of(category)
        used = [*part.train(), *part.test()]
        defects = Counter(image.defect for image in part.test())
        sizes = Counter(f"{image.width}x{image.height} {image.mode}" for image in used)
        try:
            part.check()
            problem = ""
        except DatasetError as error:
            problem = str(error)
        rows.append(
            {
                "category": category,
                "train": len(part.train()),
                "test": ", ".join(f"{kind} {count}" for kind, count in sorted(defects.items())),
                "without mask": sum(image.mask_reason is not None for image in part.test()),
                "set aside": len(part.excluded()),
                "images": ", ".join(f"{size} ({count})" for size, count in sizes.most_common(3)),
                "cannot be evaluated": problem,
            }
        )
    print_table(rendered(rows, "inspection"))
    problems = _problems(manifest)
    for (category, heading, _), texts in problems.items():
        if every:
            print("\n".join(f"{heading}: {text}" for text in texts))
        else:
            number = "1 file:" if len(texts) == 1 else f"{len(texts)} files, such as"
            print(f"{heading} in {category}: {number} {texts[0]}")
    if not every and any(len(texts) > 1 for texts in problems.values()):
        print("(--all names every file)")


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
