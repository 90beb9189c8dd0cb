"""Accuracy of methods against what they cost, as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from storage.errors import StoreError
from storage.results.metrics import COMPARED

_COLUMNS = 2
_LINE = 0.2  # inches that a method's name takes
_WIDTH = 150  # characters of it
_FORMATS = (".png", ".svg", ".pdf")


def plot_methods(rows: Sequence[Mapping[str, Any]], path: str) -> None:
    """Write a panel a metric: the mean over categories of each method, by number, against its seconds.

    Only categories where a method has both count, so that a mean is one of the same categories.

    Raises:
        StoreError: a file format that cannot be written, or no method has its seconds in the store.
    """
    if Path(path).suffix not in _FORMATS:
        raise StoreError(f"plot is {path!r}: its name ends in one of {', '.join(_FORMATS)}")
    if all(row["score_seconds"] is None for row in rows):
        raise StoreError("no run in the store scored these methods anew: their seconds are not known")
    rows_of_panels = math.ceil(len(COMPARED) / _COLUMNS)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    height = 4 * rows_of_panels + _LINE * (len(methods) + 1)
    figure = Figure(figsize=(11, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows_of_panels, _COLUMNS, squeeze=False).ravel()
    for axes in panels[len(COMPARED) :]:
        axes.set_axis_off()
    for axes, metric in zip(panels, COMPARED, strict=False):
        for number, method in enumerate(methods):
            points = [
                (row["fit_seconds"] + row["score_seconds"], row[metric.name], row["state_mib"] or 0.0)
                for row in rows
                if row["method"] == method
                and row[metric.name] is not None
                and row["score_seconds"] is not None
            ]
            if not points:
                continue
            seconds, value, mebibytes = np.mean(points, axis=0)
            color, name = f"C{number % 10}", str(number + 1)
            axes.scatter(seconds, value, s=30 + 4 * np.sqrt(mebibytes) ** 1.5, color=color, alpha=0.7)
            axes.annotate(name, (seconds, value), xytext=(6, 6), textcoords="offset points", color=color)
        axes.set_title(metric.title)
        axes.set_xscale("log")
        axes.margins(0.2)
        axes.set_xlabel("seconds a category, fit and score (area: memory held)")
        axes.grid(visible=True, alpha=0.3)
    names = [f"{number}  {shorten(method, _WIDTH)}" for number, method in enumerate(methods, start=1)]
    figure.supxlabel("\n".join(names), x=0.01, ha="left", fontsize="medium")
    figure.savefig(path)
