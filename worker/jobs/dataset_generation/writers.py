"""A split in each of the formats asked for, written record by record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from worker.jobs.dataset_generation.modes import Format, SchemaName
from worker.jobs.shared.files import Record, json_line

BATCH: Final = 5_000
_FORMULAS: Final = ("=", "+", "-", "@")
COLUMNS: Final[dict[SchemaName, tuple[str, ...]]] = {
    "alpaca": ("instruction", "input", "output"),
    "messages": ("messages",),
    "qa": ("question", "context", "answer"),
    "classification": ("text", "labels"),
    "text": ("text",),
}


class Writer(Protocol):
    def write(self, records: Sequence[Record]) -> None: ...

    def close(self) -> None:
        """The file is complete after this."""
        ...


def open_writer(kind: Format, file: Path, schema: SchemaName, *, csv_safe: bool) -> Writer:
    if kind == "jsonl":
        return _JsonLinesWriter(file)
    if kind == "json":
        return _JsonWriter(file)
    if kind == "csv":
        return _CsvWriter(file, schema, csv_safe)
    return _ParquetWriter(file, schema)


class _JsonLinesWriter:
    def __init__(self, file: Path) -> None:
        self._file = file.open("wb")

    def write(self, records: Sequence[Record]) -> None:
        self._file.writelines(map(json_line, records))

    def close(self) -> None:
        self._file.close()


class _JsonWriter:
    """A list, one record a line."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("wb")
        self._between = b"[\n"

    def write(self, records: Sequence[Record]) -> None:
        for record in records:
            self._file.write(self._between + json_line(record)[:-1])
            self._between = b",\n"

    def close(self) -> None:
        self._file.write(b"\n]\n")
        self._file.close()


class _CsvWriter:
    """Lists are cells of JSON."""

    def __init__(self, file: Path, schema: SchemaName, safe: bool) -> None:
        self._file = file.open("wb")
        self._columns = COLUMNS[schema]
        self._safe = safe
        self._put([list(self._columns)])

    def write(self, records: Sequence[Record]) -> None:
        self._put([[self._cell(record[column]) for column in self._columns] for record in records])

    def close(self) -> None:
        self._file.close()

    def _put(self, rows: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._file.write(text.getvalue().encode("utf-8"))

    def _cell(self, value: object) -> str:
        cell = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return "'" + cell if self._safe and cell.startswith(_FORMULAS) else cell


class _ParquetWriter:
    def __init__(self, file: Path, schema: SchemaName) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._table = pa.Table
        message = pa.struct([("role", pa.string()), ("content", pa.string())])
        lists: dict[str, Any] = {"messages": pa.list_(message), "labels": pa.list_(pa.string())}
        self._schema = pa.schema([(column, lists.get(column, pa.string())) for column in COLUMNS[schema]])
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._waiting: list[Record] = []

    def write(self, records: Sequence[Record]) -> None:
        self._waiting += records
        while len(self._waiting) >= BATCH:
            self._put(self._waiting[:BATCH])
            self._waiting = self._waiting[BATCH:]

    def close(self) -> None:
        if self._waiting:
            self._put(self._waiting)
        self._writer.close()

    def _put(self, records: Sequence[Record]) -> None:
        self._writer.write_table(self._table.from_pylist(records, schema=self._schema))
