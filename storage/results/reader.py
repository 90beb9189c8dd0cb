"""Result tables of runs, in pandas.

A run is its folder of Parquet tables once the `run` table is there, which is written last: a reader never
sees half a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.errors import StoreError
from storage.results.index import Index, nothing_published, with_run
from storage.results.metrics import AVERAGED
from storage.results.runs import read_tables
from storage.results.schemas import INTERRUPTED
from storage.results.sweeps import points_of, scoring_settings, with_settings
from storage.store.location import Location
from storage.store.store import DEFAULT_STORE, Store
from storage.store.tables import texts

if TYPE_CHECKING:
    import pandas as pd


_NUMBERS = {
    "double": ("float64", "Float64"),
    "int64": ("int64", "Int64"),
    "int32": ("int32", "Int32"),
    "bool": ("bool", "boolean"),
}
_SHOWN = 10  # ids of runs in a message
_HISTORY = [
    *("run", "finished", "dataset", "category", "method", "configuration_key"),
    *("value", "low", "high"),
]


class Results:
    """Reads the published runs of a store.

    Tables have a first column `run`. A run is named by its id, or "latest" for the one that ended last; the
    points of a sweep are runs, but none of them is the latest while there are others.
    In pandas, labels are categoricals, times have a zone, and numbers that may be missing are nullable
    (`pd.NA`). docs/tables.md says what each column holds; docs/pandas.md asks ten questions.
    """

    def __init__(self, store: str | PathLike[str] = DEFAULT_STORE) -> None:
        """Open a store; StoreError if there is none."""
        self._store = Store.open(store)

    def runs(self) -> pd.DataFrame:
        """One row a run, oldest first: configuration, digests, versions, times, status."""
        return self._frame("runs", "latest")

    def categories(self, run: str = "latest") -> pd.DataFrame:
        """One row a category and method: counts and every metric, null with a reason where not defined."""
        return self._frame("categories", run)

    def summary(self, run: str = "latest") -> pd.DataFrame:
        """One row a method and metric: its mean over the categories that have it, the lowest, and whose."""
        return self._frame("summary", run)

    def images(self, run: str = "latest") -> pd.DataFrame:
        """One row a test image and method: label, scores by both rules; or why it was set aside."""
        return self._frame("images", run)

    def kinds(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method and kind of defect: how well it is found."""
        return self._frame("kinds", run)

    def operating(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method and score: the operating point, false alarms and misses."""
        return self._frame("operating", run)

    def misses(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method, score and kind of defect: what the operating point misses."""
        return self._frame("misses", run)

    def operating_curve(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method, score and rate: what another operating point would cost."""
        return self._frame("operating_curve", run)

    def regions(self, run: str = "latest") -> pd.DataFrame:
        """One row a region of an image above the pixel threshold of the operating point."""
        return self._frame("regions", run)

    def robustness(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method, score, corruption and severity: what `spade robustness` found."""
        return self._frame("robustness", run)

    def neighbors(self, run: str = "latest") -> pd.DataFrame:
        """One row a test image and rank: the training image and its squared distance."""
        return self._frame("neighbors", run)

    def stages(self, run: str = "latest") -> pd.DataFrame:
        """One row a step and category: seconds, items computed in this run, items in all."""
        return self._frame("stages", run)

    def manifest(self, run: str = "latest") -> pd.DataFrame:
        """One row a file of the dataset as the run saw it, with what was set aside and why."""
        return self._frame("manifest", run)

    def comparisons(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, method and metric: the difference from the last good run, and the verdict."""
        return self._frame("comparisons", run)

    def method_comparisons(self, run: str = "latest") -> pd.DataFrame:
        """One row a category, metric and pair of the run's methods: the difference, the verdict."""
        return self._frame("method_comparisons", run)

    def drift(self, run: str = "latest") -> pd.DataFrame:
        """One row a category and measure: whether normal test images are like the training images."""
        return self._frame("drift", run)

    def history(
        self,
        metric: str = "pixel_rocauc",
        dataset: str | None = None,
        category: str | None = None,
        method: str | None = None,
    ) -> pd.DataFrame:
        """One row a run and category, oldest first: a metric's value and 95 % interval, night over night.

        Of each run the method of that name; without one, its first.

        Raises:
            StoreError: no run, or no such metric.
        """
        names = [each.name for each in AVERAGED]
        if metric not in names:
            near = get_close_matches(metric, names) or names
            raise StoreError(f"no metric {metric!r}: did you mean {', '.join(near)}?")
        wanted = (metric, f"{metric}_low", f"{metric}_high")
        index = Index(self._store)
        rows = index.rows("categories", ["dataset", "category", "method", *wanted])
        records = index.runs(["status", "methods", "configuration_key"])
        if not records.num_rows:
            raise nothing_published(self._store)
        for name, value in (("dataset", dataset), ("category", category), ("method", method)):
            if value is not None and rows.num_rows:
                rows = rows.filter(pc.field(name) == value)
        runs = records.select(["run", "finished", "configuration_key"]).to_pandas()
        runs["place"] = range(len(runs))
        runs["first"] = pc.list_element(records["methods"], 0).to_pandas()
        frame = rows.to_pandas().merge(runs, on="run")
        if method is None and len(frame):
            frame = frame[frame["method"] == frame["first"]]
        frame = frame.sort_values("place", kind="stable", ignore_index=True)
        frame = frame.rename(columns=dict(zip(wanted, ("value", "low", "high"), strict=True)))
        kinds = dict.fromkeys(("value", "low", "high"), "float64")
        return frame.reindex(columns=_HISTORY).astype(kinds | {"finished": "datetime64[us, UTC]"})

    def sweep(self, sweep: str = "latest") -> pd.DataFrame:
        """One row a point and category of a sweep: the settings of scoring and every metric.

        How K changes a metric: `results.sweep().groupby("k_gallery")["pixel_rocauc"].mean()`.

        Raises:
            StoreError: no such sweep, or not all of its points are published yet.
        """
        return self._frame("sweep", sweep)

    def reproduction(self, reproduction: str = "latest") -> pd.DataFrame:
        """One row a figure of the paper: the same of our runs, the difference, what is missing and why.

        Raises:
            StoreError: no such reproduction.
        """
        return self._frame("reproduction", reproduction)

    def changes(self, run: str = "latest") -> pd.DataFrame:
        """One row an image that changed since the run before, of the same dataset and configuration."""
        return self._frame("changes", run)

    def anomaly_map(self, run: str, image_id: str, method: str | None = None) -> NDArray[np.float32]:
        """The anomaly map (R, R) of one test image, at metric resolution; higher is more anomalous.

        By the method of that name; without one, by the first of the run that has maps.

        Raises:
            KeyError: the run has no scored image of that id.
            StoreError: the run was not scored by the method, or that has no maps.
        """
        return next(self.anomaly_maps(run, [image_id], method))

    def anomaly_maps(
        self, run: str, image_ids: Sequence[str], method: str | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """The anomaly maps (R, R) of test images, one in memory at a time; errors as of `anomaly_map`."""
        from storage.computed.scores import Scores

        run = self.resolve(run)
        chosen = self.map_method(run, method)
        found = self.rows("images", run, chosen)
        rows = {row["image_id"]: row for row in found if row["score_map"] is not None}
        scores = {key: Scores(self._store, key) for key in {row["score_key"] for row in rows.values()}}
        for image_id in image_ids:
            if image_id not in rows:
                raise KeyError(f"run {run} has no scored test image {image_id!r}")
            try:
                yield scores[rows[image_id]["score_key"]].anomaly_map(rows[image_id]["sha256"])
            except KeyError:
                raise StoreError(
                    f"the scores of {image_id!r} are no longer in {self._store.root}: "
                    "evaluate its dataset again"
                ) from None

    def rows(self, name: str, run: str = "latest", method: str | None = None) -> list[dict[str, Any]]:
        """A table as one dict a row: "runs", one of a run's, or "sweep" or "reproduction" of that name.

        With `method`, only its rows.
        """
        return [
            row
            for row in self._table(name, run).to_pylist(maps_as_pydicts="strict")
            if method is None or row["method"] == method
        ]

    def method(self, run: str = "latest", method: str | None = None) -> str:
        """The method of that name in a run; without one, its first: for what shows one.

        Raises:
            StoreError: the run was not scored by it.
        """
        methods: list[str] = self.rows("run", run)[0]["methods"]
        if method is None:
            return methods[0]
        if method not in methods:
            raise StoreError(f"no method {method!r} in run {self.resolve(run)}: it has {', '.join(methods)}")
        return method

    def map_method(self, run: str = "latest", method: str | None = None) -> str:
        """The method of that name in a run; without one, its first that has anomaly maps.

        Raises:
            StoreError: the run was not scored by it, or it has no maps.
        """
        methods = [self.method(run, method)] if method else self.rows("run", run)[0]["methods"]
        with_maps = {row["method"] for row in self.rows("images", run) if row["score_map"] is not None}
        for each in methods:
            if each in with_maps:
                return str(each)
        raise StoreError(
            f"no anomaly map by {', '.join(methods)} in run {self.resolve(run)}: "
            "name a method that scores pixels, as spade"
        )

    def scoring_settings(self, run: str) -> list[str]:
        """The columns of the runs table that hold settings of scoring."""
        return scoring_settings(self._read([run], "run")[0].schema)

    def folder(self, run: str = "latest") -> Location:
        """The folder of a run's Parquet files."""
        return self._store.run(self.resolve(run))

    def resolve(self, run: str) -> str:
        """The id of a run; StoreError if it was not published."""
        if run != "latest":
            if not self._store.exists(self._store.run_table(run, "run")):
                raise self._unknown(run)
            return run
        records = self._records(["status", "sweep"])
        whole = records.filter(pc.invert(pc.is_in(records["status"], value_set=texts([INTERRUPTED]))))
        if not whole.num_rows:
            raise nothing_published(self._store)
        plain = whole.filter(pc.is_null(whole["sweep"]))
        return str((plain if plain.num_rows else whole)["run"][-1])

    def runs_of(self, dataset: str) -> list[dict[str, Any]]:
        """The rows of the table of runs that are of a dataset."""
        records = self._records().filter(pc.field("dataset") == dataset)
        rows: list[dict[str, Any]] = records.to_pylist(maps_as_pydicts="strict")
        return rows

    def stages_of(self, score_keys: Collection[str], run: str) -> list[dict[str, Any]]:
        """The stages with these score keys, of this run and of those before it, the last run's first.

        Those of a run that is damaged are left out.
        """
        index = Index(self._store)
        stages = index.rows("stages", None, sound=True)
        runs = index.runs([], sound=True)["run"].to_pylist()
        places = {name: place for place, name in enumerate(runs[: runs.index(run) + 1])}
        if not stages.num_rows:
            return []
        found = stages.filter(pc.field("score_key").isin(sorted(score_keys))).to_pylist()
        before = [row for row in found if row["run"] in places]
        return sorted(before, key=lambda row: places[row["run"]], reverse=True)

    def _frame(self, name: str, run: str) -> pd.DataFrame:
        table = self._table(name, run)
        frame = table.to_pandas(maps_as_pydicts="strict")
        kinds = {field.name: pandas_kind(field) for field in table.schema}
        frame = frame.astype({name: kind for name, kind in kinds.items() if kind is not None})
        return frame.astype({"run": "str"})

    def _table(self, name: str, run: str) -> pa.Table:
        """A table with `run` in front: of one run, of a sweep's points, or all records as they ended."""
        if name == "runs":
            return self._records()
        if name == "sweep":
            records = self._records()
            points = points_of(records, run, self._store.root)
            ids = points["run"].to_pylist()
            tables = [
                with_settings(table, points.slice(place, 1))
                for place, table in enumerate(self._read(ids, "categories"))
            ]
        elif name == "reproduction":
            path = self._reproduction(run)
            ids, tables = [path.stem], read_tables(self._store, [path])
        else:
            ids = [self.resolve(run)]
            if name != "run" and not self._store.exists(self._store.run_table(ids[0], name)):
                self._check_whole(ids[0])
            tables = self._read(ids, name)
        return pa.concat_tables(map(with_run, ids, tables), promote_options="default")

    def _records(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The records of all runs as they ended, or columns of them; StoreError if there are none."""
        records = Index(self._store).records(columns)
        if not records.num_rows:
            raise nothing_published(self._store)
        return records

    def _check_whole(self, run_id: str) -> None:
        record = self.rows("run", run_id)[0]
        if record["status"] == INTERRUPTED:
            raise StoreError(
                f"run {run_id} was interrupted, and has no tables: evaluate {record['root']} again, "
                "which goes on from what it finished"
            )

    def _reproduction(self, name: str) -> Location:
        """The file of a reproduction; the latest is the one whose runs ended last."""
        found = {path.stem: path for path in self._store.reproductions()}
        if name == "latest" and found:
            sweeps = self._records(["sweep"])["sweep"].to_pylist()
            name = next((sweep for sweep in reversed(sweeps) if sweep in found), name)
        if name not in found:
            has = f"it has {', '.join(found)}" if found else "start one with `spade reproduce`"
            raise StoreError(f"no reproduction {name!r} in {self._store.root}: {has}")
        return found[name]

    def _unknown(self, run: str) -> StoreError:
        ids = self._records([])["run"].to_pylist()
        shown = ids if len(ids) <= _SHOWN else get_close_matches(run, ids, _SHOWN) or ids[-_SHOWN:]
        others = f" and {len(ids) - len(shown)} others" if len(ids) > len(shown) else ""
        return StoreError(
            f"no finished run {run!r} in {self._store.root}: it has {', '.join(sorted(shown))}{others}"
        )

    def _read(self, run_ids: Sequence[str], name: str) -> list[pa.Table]:
        return read_tables(self._store, [self._store.run_table(run_id, name) for run_id in run_ids])


def pandas_kind(field: pa.Field) -> str | None:
    """The type of a column in pandas, where it has to be named: labels, and numbers that may be null."""
    if (field.metadata or {}).get(b"label"):
        return "category"
    return _NUMBERS[str(field.type)][field.nullable] if str(field.type) in _NUMBERS else None
