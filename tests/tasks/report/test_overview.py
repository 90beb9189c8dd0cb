from __future__ import annotations

from pathlib import Path
from typing import Any

from storage.results.metrics import SHOWN
from tasks.core.config import Configuration
from tasks.core.methods.spade import Spade
from tasks.core.settings import declarations
from tasks.report.overview import facts, method_table, reasons, stage_table
from tasks.report.source import Source

from .conftest import LABELS, PADIM, PATCHCORE


def stage(step: str, category: str | None, method: str | None = None) -> dict[str, Any]:
    return {"step": step, "category": category, "method": method}


def test_each_method_has_a_row_of_its_own_and_steps_keep_their_order() -> None:
    stages = [
        stage("ingest", None),
        *(stage(step, "a") for step in ("extract", "index")),
        *(stage(step, "a", "dn2") for step in ("score", "summarize")),
        *(stage(step, "a", "padim") for step in ("fit", "score", "summarize")),
    ]
    table = stage_table(stages)
    assert table.several
    assert table.steps == ["ingest", "extract", "index", "fit", "score", "summarize"]
    assert {name: list(methods) for name, methods in table.rows.items()} == {
        None: [None],
        "a": [None, "dn2", "padim"],
    }
    assert table.rows["a"]["padim"]["score"] is stages[-2]


def test_one_method_alone_shares_the_row_of_its_category() -> None:
    table = stage_table([stage("ingest", None), stage("extract", "a"), stage("score", "a", "dn2")])
    assert not table.several
    assert table.rows["a"].keys() == {None}
    assert table.rows["a"][None].keys() == {"extract", "score"}


def test_metrics_that_lack_are_gathered_by_reason() -> None:
    row = {"status": "ok", "image_reason": None, "map_reason": "dn2 scores whole images"}
    row |= {"image_rocauc_embedding": 0.5}  # type: ignore[dict-item]
    assert reasons(row, {"image_rocauc_embedding": "x"}) == {}
    without = [title for name, title in SHOWN.items() if name != "image_rocauc_embedding"]
    assert {"image ROCAUC (map)", "pixel ROCAUC", "PRO"} <= set(without)
    assert reasons(row, SHOWN) == {"dn2 scores whole images": without}
    failed = {"status": "failed", "reason": "no image"}
    assert reasons(failed, SHOWN) == {"no image": [*SHOWN.values()]}


def test_every_declared_setting_is_a_fact_with_its_meaning(every_method: Path) -> None:
    found = facts(Source(str(every_method), "second"))
    assert list(found) == ["all methods", LABELS[0]]
    names = [fact.name for fact in found["all methods"]]
    assert names == [name for name, _, _ in declarations(Configuration)]
    by_name = {fact.name: fact for fact in found[LABELS[0]]}
    assert list(by_name) == [name for name, _, _ in declarations(Spade)]
    assert by_name["levels"].value == "4, 8, 16"
    assert by_name["k_gallery"].value == "2"
    assert all(fact.meaning for facts_of in found.values() for fact in facts_of)


def test_an_ensemble_has_its_settings_and_those_of_its_methods(every_method: Path) -> None:
    label = next(label for label in LABELS if "rule='ranks'" in label)
    found = facts(Source(str(every_method), "second", label))
    assert list(found) == ["all methods", label, PADIM, PATCHCORE]
    by_name = {fact.name: fact.value for fact in found[label]}
    assert by_name == {"methods": "padim, patchcore", "rule": "ranks", "scale": "deviation", "seed": "0"}
    assert {fact.name: fact.value for fact in found[PADIM]}["levels"] == "8, 16"


def test_the_table_of_all_methods_begins_with_their_averages(every_method: Path) -> None:
    source = Source(str(every_method), "second", "dn2")
    table = method_table(source)
    assert table is not None
    assert list(table.rows) == ["", "bolt", "gone", "nut"]
    assert all(list(rows) == LABELS for rows in table.rows.values())
    averages = table.rows[""]["dn2"]
    assert averages["image_rocauc_embedding"] == table.rows["nut"]["dn2"]["image_rocauc_embedding"]
    assert averages["pro"] is None
