"""Prints the page docs/tables.md: `make docs`."""

from __future__ import annotations

from storage.results.documentation import tables_page
from storage.results.schemas import TABLES
from tasks.run.tables import RUN

ALL_TABLES = TABLES | {"runs": (RUN, TABLES["runs"][1])}

if __name__ == "__main__":
    print(tables_page(ALL_TABLES), end="")
