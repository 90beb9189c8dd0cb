"""A registered dataset whose images changed: only what is new or affected is computed, and said."""

from __future__ import annotations

from prefect import flow

from flows.registered import BadRunsError, RegisteredRun, evaluate_registered, evaluation
from flows.runners import Kind
from flows.told import told
from flows.tracked import track
from storage.datasets.registry import read_registry
from storage.results.reader import Results
from storage.store.location import DEFAULT_REGISTRY
from storage.store.store import DEFAULT_STORE, Store
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB
from tasks.markdown import escaped
from tasks.run.artifacts import publish_markdown

NAME = "reprocess"


class IncompleteReprocessingError(BadRunsError):
    """A configuration could not be evaluated, in whole or in part."""


@flow(name=NAME)
def reprocess(
    dataset: str,
    registry: str = DEFAULT_REGISTRY,
    store: str = DEFAULT_STORE,
    runner: Kind = "threads",
    dask_address: str | None = None,
    parallel: int = 1,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
    verify: bool = False,
) -> list[RegisteredRun]:
    """Evaluate a registered dataset with each of its configurations, after its images changed.

    Features are extracted of new content only, and scores computed where an image or its nearest training
    images are others. The runs' `changes` tables say what changed since the last complete run. To `verify` is
    to read every file, also those that seem unchanged. Whoever the registry's [notify] names is told how it
    ended, and its runs are handed to the server of its [mlflow].

    Raises:
        DatasetError: nothing is registered by that name, or it cannot be read.
        IncompleteReprocessingError: a configuration failed, in whole or in part.
    """
    evaluate = evaluation(
        runner, dask_address, parallel, memory_gib, device=device, batch_size=batch_size, verify=verify
    )
    known = read_registry(registry)
    known.entry(dataset)
    with told(known.notify, NAME, store) as entries:
        Store.open(store, create=True)
        entries.extend(evaluate_registered(evaluate, known, [dataset], store, NAME))
        publish_markdown(NAME, _markdown(store, entries))
        track(known.mlflow, store, entries)
        if bad := [entry for entry in entries if entry.reason is not None]:
            raise IncompleteReprocessingError(entries, bad)
    return entries


def _markdown(store: str, entries: list[RegisteredRun]) -> str:
    """What changed, as a Markdown document."""
    lines = []
    for entry in entries:
        lines += [f"# {escaped(entry.dataset)}, {escaped(entry.configuration)}: {entry.status}", ""]
        rows = Results(store).rows("changes", entry.run) if entry.run is not None else []
        lines += [f"- {row['kind']} {row['split']}: {escaped(row['image_id'])}" for row in rows]
        lines += ["" if rows else "Nothing changed since the last complete run.", ""]
    return "\n".join(lines)
