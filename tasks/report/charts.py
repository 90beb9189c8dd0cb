"""Charts as inline SVG whose colours are the page's, so that they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from storage.results.robustness import MEASURES
from tasks.core.metrics.curves import Curve

_NAMES = ("ink", "muted", "line", "normal", "anomalous", "surface", "accent")
_COLOURS = {name: f"#0{number}0{number}0{number}" for number, name in enumerate(_NAMES, start=1)}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _COLOURS["ink"],
    "axes.labelcolor": _COLOURS["muted"],
    "axes.edgecolor": _COLOURS["line"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": _COLOURS["line"],
    "grid.linewidth": 0.6,
    "xtick.color": _COLOURS["line"],
    "ytick.color": _COLOURS["line"],
    "xtick.labelcolor": _COLOURS["muted"],
    "ytick.labelcolor": _COLOURS["muted"],
    "legend.frameon": False,
    "legend.labelcolor": _COLOURS["ink"],
    "hatch.linewidth": 0.7,
}
_SQUARE, _WIDE, _SMALL = (3.6, 2.8), (5.0, 2.7), (3.0, 2.0)  # inches, of 72 points
_SOLID, _DASHED = "solid", (0, (4, 2))
_BARS = {  # of each kind of image: colour, hatch and opacity
    "normal": ("normal", "", 0.55),
    "anomalous": ("anomalous", "////", 0.25),
    "unlabelled": ("muted", "....", 0.25),
}


@dataclass(frozen=True)
class Line:
    """A curve and what it is called."""

    name: str
    curve: Curve


def rates(lines: Sequence[Line], title: str, ylabel: str, limit: float = 1.0) -> Markup:
    """Curves over the false-positive rate from 0 to `limit`."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(_SQUARE)
        if limit == 1.0:
            axes.plot([0, 1], [0, 1], color=_COLOURS["muted"], linewidth=0.8, linestyle=(0, (1, 2)))
        styles = ((_COLOURS["accent"], _SOLID), (_COLOURS["anomalous"], _DASHED))
        for line, (colour, style) in zip(lines, styles, strict=False):
            thin = line.curve.thin()
            axes.plot(thin.x, thin.y, color=colour, linestyle=style, linewidth=1.8, label=line.name)
        axes.set(xlim=(0, limit), ylim=(0, 1.01), xlabel="false-positive rate", ylabel=ylabel)
        axes.legend(loc="lower right")
        return _svg(figure, title)


def severities(rows: Sequence[Mapping[str, Any]], title: str) -> Markup:
    """ROCAUC and the shares of false alarms and misses of one corruption, over its severities from 0."""
    lines = zip(
        MEASURES.items(),
        ("ink", "normal", "anomalous"),
        (_SOLID, _DASHED, (0, (1, 1.5))),
        "os^",
        strict=True,
    )
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(_SMALL)
        for (measure, name), colour, style, marker in lines:
            points = [(row["severity"], row[measure]) for row in rows if row[measure] is not None]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=_COLOURS[colour],
                    linestyle=style,
                    marker=marker,
                    markersize=3.5,
                    linewidth=1.6,
                    label=name,
                )
        axes.set(xlim=(-0.2, 5.2), ylim=(-0.03, 1.03), xlabel="severity", xticks=range(6))
        return _svg(figure, title)


def histogram(
    of_kinds: Mapping[str, NDArray[np.float64]],
    thresholds: Sequence[tuple[str, float]],
    title: str,
    xlabel: str,
) -> Markup:
    """Counts of the scores of normal, anomalous and unlabelled images, with named thresholds."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(_WIDE)
        every = np.concatenate([*of_kinds.values()])
        bins = np.histogram_bin_edges(every, bins=min(40, max(10, len(every) // 4)))
        for kind, (named, hatch, opacity) in _BARS.items():
            scores = of_kinds.get(kind, ())
            if len(scores):
                colour = _COLOURS[named]
                counts, _ = np.histogram(scores, bins)
                axes.stairs(counts, bins, fill=True, color=colour, alpha=opacity, linewidth=0)
                axes.stairs(
                    counts,
                    bins,
                    edgecolor=colour,
                    linewidth=1.3,
                    hatch=hatch,
                    label=f"{kind} ({len(scores)})",
                )
        for name, value in thresholds:
            axes.axvline(value, color=_COLOURS["ink"], linewidth=1.1, linestyle=_DASHED, label=name)
        axes.set(xlabel=xlabel, ylabel="images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper left", fontsize=8, ncols=3)
        return _svg(figure, title)


def _axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _svg(figure: Figure, title: str) -> Markup:
    """The figure as an SVG element that scales to its place; the title is its text for screen readers."""
    sink = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": title}):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = sink.getvalue()
    svg = svg[svg.index("<svg") :]
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;]*;", "", svg)
    svg = re.sub(r"<g id=\"[^\"]*\"", "<g", svg)
    width, height = 72 * figure.get_size_inches()
    head = f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="0 0 {width:g} {height:g}"'
    return Markup(re.sub(r"<svg[^>]*", lambda _: head, svg, count=1))
