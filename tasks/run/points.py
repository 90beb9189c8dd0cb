"""The points of a sweep: jobs on one dataset that differ in nothing but the settings of scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from storage.store.location import read_bytes
from tasks.core.grid import Point
from tasks.job import Job, Stage
from tasks.run.ingest import ingest
from tasks.step import step


def points_of(job: Job, points: Sequence[Point]) -> list[Job]:
    """One job a point, to be published as the runs NAME-1, NAME-2, ... where the job is NAME."""
    width = len(str(len(points)))
    return [
        replace(
            job,
            run_id=f"{job.run_id}-{number:0{width}}",
            configuration=point.configuration,
            methods=point.methods,
            sweep=job.run_id,
            sweep_points=len(points),
        )
        for number, point in enumerate(points, start=1)
    ]


@step
def ingest_once(points: Sequence[Job]) -> Stage:
    """Write the manifest of each point; the images are read once."""
    ingested = ingest.fn(points[0])
    store = points[0].open_store()
    content = read_bytes(store.job(points[0].run_id, "manifest"))
    store.remove([store.set_aside(point.run_id) for point in points[1:]])
    store.write_all({store.job(point.run_id, "manifest"): content for point in points[1:]})
    return ingested
