"""What a dataset holds, and what a run of it would take."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.cli.screen.tables import print_table, rendered
from storage.datasets.manifest import Manifest
from storage.errors import DatasetError

if TYPE_CHECKING:
    from tasks.run.plan import Plan


def print_inspection(manifest: Manifest) -> None:
    """What each category holds, then every file that has something wrong with it."""
    rows = []
    for category in manifest.categories():
        part = manifest.of(category)
        used = [*part.train(), *part.test()]
        defects = Counter(entry.defect for entry in part.test())
        sizes = Counter(f"{entry.width}x{entry.height} {entry.mode}" for entry in used)
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
                "without mask": sum(entry.mask_reason is not None for entry in part.test()),
                "set aside": len(part.excluded()),
                "images": ", ".join(f"{size} ({count})" for size, count in sizes.most_common(3)),
                "cannot be evaluated": problem,
            }
        )
    print_table(rendered(rows, "inspection"))
    for entry in manifest.files:
        for kind, text in (
            ("set aside", entry.reason),
            ("without mask", entry.mask_reason),
            ("warning", entry.warning),
        ):
            if text is not None:
                print(f"{kind}: {entry.image_id}: {text}")


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
