"""The pages docs/tables.md and docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import pyarrow as pa

from storage.results.metrics import SCORE_RULES, Metric
from storage.results.reader import pandas_kind

_TYPES = {  # of Parquet: in words, and in pandas
    "string": ("text", "str"),
    "double": ("float", "float64"),
    "int64": ("integer", "int64"),
    "int32": ("integer", "int32"),
    "bool": ("boolean", "bool"),
    "timestamp[us, tz=UTC]": ("time, UTC", "datetime64[us, UTC]"),
    "list<element: int32>": ("list of integers", "object"),
    "list<item: int32>": ("list of integers", "object"),
    "list<element: double>": ("list of floats", "object"),
    "list<item: double>": ("list of floats", "object"),
    "list<element: string>": ("list of texts", "object"),
    "list<item: string>": ("list of texts", "object"),
    "map<string, string>": ("dictionary of texts", "object"),
}


_METRICS_HEAD = """# Metrics

Made by `make docs` from the rows of `storage/results/metrics.py`. A number without its convention cannot be
compared: each line "here" says what definitions differ in, and what is done. Where a metric is not defined it
is null, and a column of the categories table says why.

Intervals are of 95 %, over other images of the same category. That of an average is over other images of the
same categories: the distances from each category's value to the ends of its interval are combined as standard
errors are (Zou and Donner, Statistics in Medicine 27, 2008).

Two runs, or two methods of a run, are compared by the metrics with an interval, on the same images: DeLong's
test for image metrics; for metrics of pixels a bootstrap over images, the same for both, and a p-value by the
standard error of its replicates. `p_adjusted` is corrected by Holm's method over all categories and pairs of
a run, metric by metric. `detectable` is the difference that as many images show 8 times in 10 at a level of
5 %: 2.80 standard errors of the paired difference, a normal approximation. A night is held to the metrics of
`[gate]` in `datasets.toml`, each with its tolerance, or else to those that are gated here.
"""


def metrics_page(metrics: Sequence[Metric]) -> str:
    """Every metric in Markdown: what it is, its convention and its source."""
    lines = [_METRICS_HEAD, "Metrics of images are of each image score:"]
    lines += [f"- `score_{rule}`: {meaning}." for rule, meaning in SCORE_RULES.items()]
    for _, rows in groupby(metrics, key=lambda metric: (metric.level, metric.measure)):
        lines += _metric(list(rows))
    return "\n".join(lines) + "\n"


def _metric(metrics: Sequence[Metric]) -> Iterator[str]:
    first = metrics[0]
    named = ", ".join(f"`{metric.name}`" for metric in metrics)
    yield ""
    yield f"## {first.title}"
    yield ""
    yield f"{named}{'; gated' if first.gated else ''}"
    yield ""
    yield f"- What: {first.meaning}."
    yield f"- Here: {first.convention}."
    if first.compared:
        yield f"- Interval: {first.interval}."
    yield f"- Source: {first.source}."


def tables_page(tables: Mapping[str, tuple[pa.Schema, str]]) -> str:
    """Every column of every table in Markdown: its types, whether it may be null, its meaning."""
    return "\n".join(_lines(tables)) + "\n"


def _lines(tables: Mapping[str, tuple[pa.Schema, str]]) -> Iterator[str]:
    yield "# Tables"
    yield ""
    yield "Made by `make docs` from the schemas; each Parquet file's schema says the same."
    yield "In pandas, `results.categories()` is the table categories of the latest run, and so on; a first"
    yield "column `run`, the run's id, is added."
    for name, (schema, meaning) in tables.items():
        yield from ("", f"## {name}", "", meaning, "")
        yield "| column | type | in pandas | may be null | meaning |"
        yield "| --- | --- | --- | --- | --- |"
        for field in schema:
            yield f"| {' | '.join(_cells(field))} |"


def _cells(field: pa.Field) -> tuple[str, ...]:
    meaning = field.metadata[b"meaning"].decode().replace("|", "\\|")
    text, other = _TYPES[str(field.type)]
    return f"`{field.name}`", text, pandas_kind(field) or other, "yes" if field.nullable else "no", meaning
