from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.store.location import location
from storage.store.tables import read_table, table_bytes, table_of

SCHEMA = pa.schema(
    [pa.field("name", pa.string(), nullable=False, metadata={"meaning": "a name"}), pa.field("n", pa.int64())]
)
ROWS: list[dict[str, Any]] = [{"name": "007", "n": 7}, {"name": "ünï côdé 瓶", "n": None}]


def test_a_table_survives_its_file_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(table_bytes(table_of(ROWS, SCHEMA)))
    found = read_table(location(path))
    assert found.to_pylist() == ROWS
    assert found.schema.equals(SCHEMA, check_metadata=True)


def test_the_same_rows_are_the_same_bytes() -> None:
    assert table_bytes(table_of(ROWS, SCHEMA)) == table_bytes(table_of(iter(ROWS), SCHEMA))


def test_no_rows_make_an_empty_table_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    path.write_bytes(table_bytes(table_of([], SCHEMA)))
    assert read_table(location(path)).num_rows == 0
    assert read_table(location(path)).schema.names == ["name", "n"]


def test_a_column_that_a_row_does_not_name_is_null() -> None:
    assert table_of([{"name": "a"}], SCHEMA).to_pylist() == [{"name": "a", "n": None}]


def test_a_required_column_without_a_value_is_not_written() -> None:
    with pytest.raises(pa.ArrowException, match="name"):
        table_bytes(table_of([{"n": 1}], SCHEMA))


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(pa.ArrowException):
        table_of([{"name": "a", "n": "seven"}], SCHEMA)


def test_the_name_of_the_folder_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "category=007" / "rows.parquet"
    path.parent.mkdir()
    path.write_bytes(table_bytes(table_of(ROWS, SCHEMA)))
    assert read_table(location(path)).schema.names == ["name", "n"]


def test_a_flipped_bit_in_the_rows_is_noticed(tmp_path: Path) -> None:
    """Random bits, which no compression shortens: nothing but the checksum can notice."""
    values = np.random.default_rng(0).normal(size=200)
    content = bytearray(table_bytes(pa.table({"values": values})))
    position = content.find(values[100].tobytes())
    content[position] ^= 1
    path = tmp_path / "flipped.parquet"
    path.write_bytes(content)
    with pytest.raises((pa.ArrowException, OSError)):
        read_table(location(path))
