"""The beginning and the end of a run: its record, and the tables that it makes visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from storage.computed.scores import Scores
from storage.datasets.changes import changes
from storage.datasets.manifest import Manifest
from storage.errors import StoreError
from storage.results.runs import earlier_runs, published_fingerprint
from storage.results.runs import publish as publish_tables
from storage.results.schemas import (
    CATEGORIES,
    CHANGES,
    IMAGES,
    INTERRUPTED,
    KINDS,
    NEIGHBORS,
    OPTIONAL_TABLES,
    STAGES,
    SUMMARY,
    TABLES,
)
from storage.store.store import Store
from storage.store.tables import read_table, table_bytes, table_of
from tasks.compare.methods import compare_methods
from tasks.compare.runs import COMPARED_TABLES, Side, compare_with_earlier, configuration_key
from tasks.job import Job, Outcome, Stage
from tasks.progress import LOGGER
from tasks.provenance import git_commit, peak_memory_mib, versions
from tasks.run.drift import drift_verdicts
from tasks.run.ingest import fingerprint
from tasks.run.kinds import kind_rows
from tasks.run.tables import RUN, image_rows, neighbor_rows, setting_values, summary_rows
from tasks.step import step


def begin(job: Job) -> None:
    """Keep the record that the run will have if it dies: that it was interrupted."""
    manifest = job.manifest()
    record = table_of([_record(job, manifest, manifest, INTERRUPTED, 0)], RUN)
    store = job.open_store()
    store.write(store.job(job.run_id, "run"), table_bytes(record))


def is_published(job: Job) -> bool:
    """Whether this very run is complete already.

    Raises:
        StoreError: its id belongs to a run of another configuration or of other data.
    """
    store = job.open_store()
    known = published_fingerprint(store, job.run_id)
    if known is None:
        return False
    found, status = known
    if status == INTERRUPTED:
        return False
    if found != fingerprint(job, job.manifest()):
        raise StoreError(
            f"run {job.run_id} in {store.root} has another configuration or other data: name another --run-id"
        )
    if status == "complete":
        store.remove([store.job(job.run_id)])
    return status == "complete"


@step
def publish(
    job: Job, outcomes: Sequence[Outcome], ingested: Stage, gate: Mapping[str, float] | None = None
) -> None:
    """Write the run's tables, compare it with the last good run, write last what makes it visible."""
    store, ingested_manifest = job.open_store(), job.manifest()
    manifest = ingested_manifest.exclude(job.set_aside(ingested_manifest.categories()))
    rows = [row for outcome in outcomes for row in outcome.rows]
    keys = {
        (str(row["category"]), str(row["method"])): str(row["score_key"])
        for row in rows
        if row["status"] == "ok"
    }
    scored = {of: Scores(store, key) for of, key in keys.items()}
    measured = {of: values for outcome in outcomes for of, values in outcome.images.items()}
    images = image_rows(manifest, scored, keys, [method.label for method in job.methods], measured)
    tables = {
        "manifest": manifest.without_stamps().table(),
        "categories": table_of(rows, CATEGORIES),
        "summary": table_of(summary_rows(rows), SUMMARY),
        "images": table_of(images, IMAGES),
        "kinds": table_of(kind_rows(rows, images), KINDS),
        "neighbors": table_of(neighbor_rows(manifest, scored), NEIGHBORS),
        "stages": table_of(
            (asdict(stage) for stage in [ingested, *(s for outcome in outcomes for s in outcome.stages)]),
            STAGES,
        ),
    }
    found = {
        name: [row for outcome in outcomes for row in outcome.tables.get(name, ())]
        for name in (*OPTIONAL_TABLES, "drift")
    }
    found["drift"] = drift_verdicts(found["drift"])
    tables |= {name: table_of(rows_of, TABLES[name][0]) for name, rows_of in found.items()}
    failed = sum(outcome.reason is not None for outcome in outcomes)
    record = _record(job, manifest, ingested_manifest, "partial" if failed else "complete", failed)
    earlier = earlier_runs(store, job.run_id, record)
    tables["changes"] = table_of(_changes(store, earlier, ingested_manifest), CHANGES)
    side = Side.of(job.run_id, record, {name: tables[name].to_pylist() for name in COMPARED_TABLES})
    tables["comparisons"] = compare_with_earlier(store, side, earlier, gate=gate)
    tables["method_comparisons"] = compare_methods(store, side)
    record["drifted"] = len(drifted := [row for row in found["drift"] if row["verdict"] == "drifted"])
    for row in drifted:
        LOGGER.warning(
            "%s: the normal test images drifted from the training images, by %s (p %.4f, corrected)",
            *(row[name] for name in ("category", "measure", "p_adjusted")),
        )
    record["worse"] = tables["comparisons"]["verdict"].to_pylist().count("worse")
    publish_tables(store, job.run_id, table_of([record], RUN), tables)
    store.remove([store.job(job.run_id)])


def _changes(store: Store, earlier: Sequence[str], manifest: Manifest) -> list[dict[str, Any]]:
    """What changed in the run's categories since the last complete run of its dataset and configuration."""
    for run in earlier[:1]:
        before = Manifest.from_table(read_table(store.run_table(run, "manifest")))
        return changes(before.only(manifest.categories()), manifest)
    return []


def _record(job: Job, manifest: Manifest, ingested: Manifest, status: str, failed: int) -> dict[str, Any]:
    """The row of the run table as of now: `manifest` without what was set aside since it was `ingested`."""
    started, now = datetime.fromisoformat(job.started), datetime.now(UTC)
    return setting_values(job.configuration, job.methods) | {
        "status": status,
        "started": started,
        "finished": now,
        "seconds": (now - started).total_seconds(),
        "dataset": job.dataset.name,
        "root": job.dataset.root,
        "layout": job.dataset.layout_json,
        "categories": len(manifest.categories()),
        "failed": failed,
        "worse": 0,
        "drifted": 0,
        "images": len(manifest.files) - len(manifest.excluded()),
        "set_aside": len(manifest.excluded()),
        "methods": [method.label for method in job.methods],
        "sweep": job.sweep,
        "sweep_points": job.sweep_points,
        "device": job.device,
        "batch_size": job.batch_size,
        "configuration_key": configuration_key(job.configuration),
        "weights": None if job.configuration.weights is None else job.weights_file,
        "weights_sha256": job.weights_sha256,
        "feature_key": job.feature_key,
        "data_digest": ingested.digest(),
        "fingerprint": fingerprint(job, ingested),
        "peak_memory_mib": peak_memory_mib(),
        "git_commit": git_commit(),
        "versions": versions(),
    }
