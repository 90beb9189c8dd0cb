"""What of a store is kept, as a table [retention] of a registry says.

[retention]
nights = 14                     days of which all runs are kept, of each configuration,
weeks = 8                       and one run of each of so many weeks,
months = 12                     and of each of so many months
days = 30                       for which what no kept run needs stays, since it was written
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Retention:
    """How many days, weeks and months in which there were runs are kept, and days of what no run needs."""

    nights: int = 14
    weeks: int = 8
    months: int = 12
    days: int = 30

    def __post_init__(self) -> None:
        """Refuse what would keep nothing, or take from others what they just wrote."""
        for name, least in zip((each.name for each in fields(self)), (1, 0, 0, 1), strict=True):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} is {value}: it is {least} or more")
