"""Result tables of runs, in pandas.

A run is its folder of Parquet tables once the `run` table is there, which is written last: a reader never
sees half a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import DamagedStoreError, StoreError
from storage.layout import DEFAULT_STORE, Store
from storage.tables import read_table, table_bytes

if TYPE_CHECKING:
    import pandas as pd


class Results:
    """Reads the published runs of a store.

    Tables have a first column `run`. A run is named by its id, or "latest" for the one that ended last.
    """

    def __init__(self, store: str | Path = DEFAULT_STORE) -> None:
        """Open a store; StoreError if there is none."""
        self._store = Store.open(store)

    def runs(self) -> pd.DataFrame:
        """One row a run, oldest first: configuration, digests, versions, times, status."""
        return self._frame("runs", "latest")

    def categories(self, run: str = "latest") -> pd.DataFrame:
        """One row a category: counts and every metric, null with a reason where it is not defined."""
        return self._frame("categories", run)

    def summary(self, run: str = "latest") -> pd.DataFrame:
        """One row a metric: its mean over the categories that have it, the lowest, and whose that is."""
        return self._frame("summary", run)

    def images(self, run: str = "latest") -> pd.DataFrame:
        """One row a test image: label, scores by both rules; or why it was set aside."""
        return self._frame("images", run)

    def neighbors(self, run: str = "latest") -> pd.DataFrame:
        """One row a test image and rank: the training image and its squared distance."""
        return self._frame("neighbors", run)

    def stages(self, run: str = "latest") -> pd.DataFrame:
        """One row a step and category: seconds, items computed in this run, items in all."""
        return self._frame("stages", run)

    def manifest(self, run: str = "latest") -> pd.DataFrame:
        """One row a file of the dataset as the run saw it, with what was set aside and why."""
        return self._frame("manifest", run)

    def anomaly_map(self, run: str, image_id: str) -> NDArray[np.float32]:
        """The anomaly map (R, R) of one test image, at metric resolution; higher is more anomalous.

        Raises:
            KeyError: the run has no scored image of that id.
        """
        from storage.scores import Scores

        run = self.resolve(run)
        rows = self.rows("images", run)
        row = next((row for row in rows if row["image_id"] == image_id), None)
        if row is None or row["score_key"] is None:
            raise KeyError(f"run {run} has no scored test image {image_id!r}")
        try:
            return Scores(self._store, row["score_key"]).anomaly_map(row["sha256"])
        except KeyError:
            raise StoreError(
                f"the scores of {image_id!r} are no longer in {self._store.root}: evaluate its dataset again"
            ) from None

    def rows(self, name: str, run: str = "latest") -> list[dict[str, Any]]:
        """A table as one dict a row: "runs", or one of a run's."""
        return [
            {"run": run_id, **row}
            for run_id, table in self._tables(name, run)
            for row in table.to_pylist(maps_as_pydicts="strict")
        ]

    def folder(self, run: str = "latest") -> Path:
        """The folder of a run's Parquet files."""
        return self._store.run(self.resolve(run))

    def resolve(self, run: str) -> str:
        """The id of a run; StoreError if it was not published."""
        found = self._published()
        if run == "latest":
            return self._tables("runs", run)[-1][0]
        if run not in found:
            raise StoreError(f"no finished run {run!r} in {self._store.root}: it has {', '.join(found)}")
        return run

    def _frame(self, name: str, run: str) -> pd.DataFrame:
        import pandas as pd

        frames = []
        for run_id, table in self._tables(name, run):
            frame = table.to_pandas()
            frame.insert(0, "run", pd.Series(run_id, index=frame.index, dtype="str"))
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def _tables(self, name: str, run: str) -> list[tuple[str, pa.Table]]:
        """Runs and their tables: of one run, or the records of all, in the order in which they ended."""
        if name != "runs":
            run_id = self.resolve(run)
            return [(run_id, self._read(run_id, name))]
        records = [(run_id, self._read(run_id, "run")) for run_id in self._published()]
        return sorted(records, key=lambda record: (record[1]["finished"][0].value, record[0]))

    def _published(self) -> list[str]:
        found = published_runs(self._store)
        if not found:
            raise StoreError(
                f"the store {self._store.root} has no finished run yet: start one with `spade evaluate`"
            )
        return found

    def _read(self, run_id: str, name: str) -> pa.Table:
        path = self._store.run_table(run_id, name)
        try:
            return read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise DamagedStoreError(path, error, self._store.root) from error


def published_runs(store: Store) -> list[str]:
    """Ids of the runs whose run table is there."""
    folders = store.entries(store.run())
    return [folder.name for folder in folders if store.run_table(folder.name, "run").exists()]


def published_fingerprint(store: Store, run_id: str) -> tuple[str, str] | None:
    """Fingerprint and status of a published run, or None."""
    path = store.run_table(run_id, "run")
    if not path.exists():
        return None
    try:
        row = read_table(path).to_pylist()[0]
    except (OSError, pa.ArrowException) as error:
        raise DamagedStoreError(path, error, store.root) from error
    return row["fingerprint"], row["status"]


def publish(store: Store, run_id: str, record: pa.Table, tables: Mapping[str, pa.Table]) -> None:
    """Write a run's tables, then the record that publishes them; a run of that id is withdrawn first."""
    store.remove([store.run_table(run_id, "run")])
    for name, table in tables.items():
        store.write(store.run_table(run_id, name), table_bytes(table))
    store.write(store.run_table(run_id, "run"), table_bytes(record))
