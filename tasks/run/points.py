"""The points of a sweep: jobs on one dataset that differ in nothing but the settings of scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from storage.store.location import read_bytes
from tasks.core.config import Configuration
from tasks.job import Job, Stage
from tasks.methods.spade import score_together
from tasks.run.ingest import ingest
from tasks.step import step


def points_of(job: Job, configurations: Sequence[Configuration]) -> list[Job]:
    """One job a configuration, to be published as the runs NAME-1, NAME-2, ... where the job is NAME."""
    width = len(str(len(configurations)))
    return [
        replace(
            job,
            run_id=f"{job.run_id}-{number:0{width}}",
            configuration=configuration,
            sweep=job.run_id,
            sweep_points=len(configurations),
        )
        for number, configuration in enumerate(configurations, start=1)
    ]


@step
def ingest_once(points: Sequence[Job]) -> Stage:
    """Write the manifest of each point; the images are read once."""
    ingested = ingest.fn(points[0])
    store = points[0].open_store()
    content = read_bytes(store.job(points[0].run_id, "manifest"))
    store.write_all({store.job(point.run_id, "manifest"): content for point in points[1:]})
    return ingested


@step
def score_points(points: Sequence[Job], category: str, excluded: Mapping[str, str]) -> list[Stage]:
    """Score a category's test images for all points in one pass over their galleries."""
    return score_together(points, points[0].manifest().of(category).exclude(dict(excluded)))
