"""Pages from templates: everything that is written into them is escaped."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from storage.datasets.manifest import ImageFile
from storage.results.metrics import BY_NAME, SHOWN
from storage.results.report_folder import ReportFolder
from tasks.core.networks.geometry import Preprocessing
from tasks.core.pictures.colours import heat_colours
from tasks.core.pictures.overlays import PREDICTED, TRUTH
from tasks.core.pictures.restore import pixel
from tasks.paper.figures import SOURCES
from tasks.report.images import TILE
from tasks.report.references import PUBLISHED_BY
from tasks.report.source import Row, Source
from tasks.run.conventions import CONVENTIONS

_NONE, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_STOPS = 9  # of the legend's gradient


class Pages:
    """Fills the templates of one report."""

    def __init__(self, source: Source, folder: ReportFolder) -> None:
        """Prepare the pages of a run."""
        self._folder = folder
        self._environment = Environment(
            loader=PackageLoader("tasks.report", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "metric": metric,
            "change": change,
            "number": number,
            "time": time,
            "duration": duration,
            "percent": percent,
            "evaluated": lambda region: evaluated(region, source.preprocessing),
            "original": lambda entry, point: original(entry, point, source.preprocessing),
        }
        self._environment.globals |= {
            "source": source,
            "run": source.run,
            "metrics": source.metrics,
            "all_metrics": SHOWN,
            "published_by": PUBLISHED_BY,
            "reason": lambda row, name: BY_NAME[name].reason(row),
            "sources": SOURCES,
            "conventions": CONVENTIONS,
            "tile": TILE,
            "interval": interval,
        }

    def write(self, name: str, template: str, **context: Any) -> None:
        """Write a page by its path below the report's folder."""
        page = self._environment.get_template(f"{template}.html.j2")
        self._folder.write(name, page.render(to_root="../" * name.count("/"), **context))

    def style(self) -> str:
        """The style sheet, with the colours of the pictures."""
        stops = heat_colours()[:: 255 // (_STOPS - 1)]
        return self._environment.get_template("style.css.j2").render(
            stops=[_colour(stop) for stop in stops], predicted=_colour(PREDICTED), truth=_colour(TRUTH)
        )


def metric(value: float | None) -> str:
    """A metric with three decimals, a dash for none."""
    return _NONE if value is None else f"{value:.3f}"


def interval(row: Row, name: str) -> Markup:
    """A metric of a categories row, with its interval where the table has one."""
    low, high = row.get(BY_NAME[name].low), row.get(BY_NAME[name].high)
    if row.get(name) is None or low is None or high is None:
        return escape(metric(row.get(name)))
    return Markup('{} <span class="interval">{}{}{}</span>').format(
        metric(row[name]), metric(low), _NONE, metric(high)
    )


def change(pair: tuple[float | None, float | None], digits: int = 4) -> str:
    """The second value minus the first, signed; a dash where there is none."""
    before, now = pair
    if before is None or now is None:
        return _NONE
    text = f"{now - before:+.{digits}f}".replace("-", _MINUS)
    return "0" if float(f"{abs(now - before):.{digits}f}") == 0 else text


def number(value: float | None) -> str:
    """A score or distance with four significant digits, or all before the point."""
    if value is None:
        return _NONE
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.4g}"
    return f"{_MINUS}{text[1:]}" if text.startswith("-") else text


def percent(value: float | None) -> str:
    """A share in percent, with one decimal; a dash for none."""
    return _NONE if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def time(value: datetime) -> str:
    """ISO 8601 with its zone."""
    return value.isoformat(sep=" ", timespec="seconds")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def original(entry: ImageFile, point: tuple[float, float], how: Preprocessing) -> tuple[int, int]:
    """Column and row in the original image of a point of the evaluated area, x and y as shares of it."""
    return pixel(point, how, entry.width or 0, entry.height or 0)


def evaluated(region: Row, how: Preprocessing) -> tuple[str, str, str, str]:
    """The box of a region in percent of the evaluated area, of the tiles: left, top, width, height."""
    frame = how.frame(region["image_height"], region["image_width"])
    starts, spans = [], []
    for first, length, side, resized, start, size in zip(
        (region["top"], region["left"]),
        (region["height"], region["width"]),
        (region["image_height"], region["image_width"]),
        *frame,
        strict=True,
    ):
        starts.append(100 * (first * resized / side - start) / size)
        spans.append(100 * length * resized / side / size)
    left, top, width, height = (f"{value:.2f}" for value in (*starts[::-1], *spans[::-1]))
    return left, top, width, height


def _colour(values: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*values)
