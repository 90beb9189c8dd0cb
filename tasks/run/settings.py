"""The configuration of a run, read back from its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tasks.core.config import Configuration


def settings_of(record: Mapping[str, Any]) -> Configuration:
    """The configuration in a row of the run table; what an older version did not know has its default."""
    known = {field.name: record.get(field.name) for field in fields(Configuration)}
    settings = {name: value for name, value in known.items() if value is not None}
    return Configuration(**settings | {"levels": tuple(record["levels"])})
