"""Rows of a table's file, whatever its format: JSON lines, Parquet, tab- or comma-separated, plain or compressed."""

from __future__ import annotations

import csv
import io
import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.corpora import sgml
from harness.corpora.columns import Table
from harness.corpora.lines import Reading, ending, lines, opened, shown
from harness.errors import first_line

JSONL, PARQUET, SEPARATED = (".jsonl", ".ndjson"), (".parquet",), (".tsv", ".csv", ".txt")
LONGEST = 1 << 30  # letters of a cell: a document may be a book
BATCH = 16  # rows of a parquet file in memory at once where they hold images

Row = dict[str, Any]


def rows(path: Path, table: Table, reading: Reading, also: Sequence[str] = ()) -> Iterator[tuple[int, Row]]:
    """(number, values by our names) of every row of a file that has the needed columns; ``also`` are read as named.

    What is wrong is added to the reading.
    """
    readers = dict.fromkeys(JSONL, _json) | dict.fromkeys(PARQUET, _parquet) | dict.fromkeys(SEPARATED, _separated)
    if not path.is_file():
        reading.problems.add(f"{path} is missing")
        return
    try:
        if ending(path) not in (*JSONL, *PARQUET) and sgml.is_sgml(path):
            yield from sgml.records(path, reading)
        else:
            yield from readers.get(ending(path), _separated)(path, table, reading, also)
    except (OSError, EOFError, zlib.error, ValueError) as error:  # pyarrow's errors are ValueErrors and OSErrors
        reading.problems.add(f"{path} cannot be read ({first_line(error)}); download or write it again")


def columns(path: Path) -> list[str]:
    """The names of a file's columns, as its first row or its header has them; none if it cannot be read."""
    try:
        if ending(path) in PARQUET:
            import pyarrow.parquet

            return list(pyarrow.parquet.read_schema(path).names)
        with opened(path) as file:
            line = file.readline().decode().removeprefix("\ufeff")
        return list(json.loads(line)) if ending(path) in JSONL else line.rstrip("\r\n").split("\t")
    except (OSError, EOFError, zlib.error, ValueError, TypeError, RecursionError):
        return []


def _json(path: Path, table: Table, reading: Reading, also: Sequence[str]) -> Iterator[tuple[int, Row]]:
    chosen: dict[tuple[str, ...], dict[str, str]] = {}
    for number, line in lines(path, reading):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reading.add(number, f"not JSON ({first_line(error)})")
            continue
        if not isinstance(row, dict):
            reading.add(number, f"not a JSON object: {shown(line)}")
            continue
        names = tuple(row)
        if names not in chosen:
            chosen[names] = table.choose(names, also)
        if lacking := table.lacking(chosen[names], names):
            reading.add(number, lacking)
        else:
            yield number, {ours: row[name] for ours, name in chosen[names].items()}


def _parquet(path: Path, table: Table, reading: Reading, also: Sequence[str]) -> Iterator[tuple[int, Row]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        chosen = table.choose(names, also)
        if not file.metadata.num_rows:
            return
        if lacking := table.lacking(chosen, names):
            reading.problems.add(f"{path}: {lacking}; rename what is meant")
            return
        number = 0
        for batch in file.iter_batches(BATCH if "image" in chosen else 4096, columns=list(chosen.values())):
            for row in batch.to_pylist():
                number += 1
                if reading.full(number):
                    return
                yield number, {ours: row[name] for ours, name in chosen.items()}


def _separated(path: Path, table: Table, reading: Reading, also: Sequence[str]) -> Iterator[tuple[int, Row]]:
    """Cells by their header, or by how many there are. Between tabs, below a header, a cell may stand in quotes."""
    header: list[str] | None = None
    read = str if ending(path) == ".csv" else _unquoted  # csv's own quotes are gone by now
    for number, cells in _cells(path, table, reading):
        if number == 1 and table.is_header(cells):
            header = cells
            chosen = {ours: cells.index(name) for ours, name in table.choose(cells, also).items()}
        elif header is not None and len(cells) == len(header):
            yield number, {ours: read(cells[at]) for ours, at in chosen.items()}
        elif header is None and (names := table.positions.get(len(cells))):
            row = dict(zip(names, cells, strict=True))
            row.pop("", None)
            yield number, row
        else:
            wanted = len(header) if header else " or ".join(map(str, table.positions))
            reading.add(number, f"{len(cells)} columns instead of {wanted}: {shown(' '.join(cells))}")


def _cells(path: Path, table: Table, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    if ending(path) == ".csv":
        yield from _comma_separated(path, reading)
        return
    for number, line in lines(path, reading):
        yield number, line.split("\t")


def _comma_separated(path: Path, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LONGEST)
    with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        found = csv.reader(text)
        for number in itertools.count(1):
            try:
                cells = next(found, None)
            except csv.Error as error:
                reading.add(number, f"not CSV ({error})")
                return
            if cells is None or reading.full(number):
                return
            if cells:
                yield number, cells


def _unquoted(cell: str) -> str:
    inside = cell[1:-1]
    if len(cell) >= 2 and cell[0] == cell[-1] == '"' and '"' not in inside.replace('""', ""):
        return inside.replace('""', '"')
    return cell
