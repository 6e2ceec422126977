"""The cells of a committed CSV, looked up by what stands in their other columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class CellError(LookupError):
    """A figure was looked up that no committed file holds, or that several hold."""


@dataclass(frozen=True)
class Cells:
    """Rows of a file. A column is compared as the file writes it: ``length=32``, ``statistic="slope"``."""

    name: str
    rows: tuple[dict[str, str], ...]

    @classmethod
    def read(cls, folder: Path, pattern: str) -> Cells:
        """The one file of a folder that fits a pattern such as ``eval-*-tests.csv``."""
        path = only(folder, pattern)
        with path.open(encoding="utf-8", newline="") as lines:
            return cls(path.name, tuple(csv.DictReader(lines)))

    @classmethod
    def maybe(cls, folder: Path, pattern: str) -> Cells | None:
        """The same, or None where no file fits."""
        return cls.read(folder, pattern) if any(folder.glob(pattern)) else None

    def of(self, **where: object) -> Cells:
        """The rows that have these values; a tuple of values allows any of them."""
        rows = self.rows
        for column, value in where.items():
            if rows and column not in rows[0]:
                raise CellError(f"{self.name} has no column {column}; it has {', '.join(rows[0])}")
            allowed = {str(one) for one in value} if isinstance(value, tuple) else {str(value)}
            rows = tuple(row for row in rows if row[column] in allowed)
        return Cells(self.name, rows)

    def one(self, **where: object) -> Row:
        """The only row that has these values."""
        rows = self.of(**where).rows
        if len(rows) != 1:
            raise CellError(f"{self.name} has {len(rows)} rows with {where}, not one")
        return {column: value(text) for column, text in rows[0].items()}

    def __iter__(self) -> Iterator[Row]:
        for row in self.rows:
            yield {column: value(text) for column, text in row.items()}

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[Any]:
        """Every value of a column that has one."""
        return [row[name] for row in self if row[name] == row[name]]

    def distinct(self, name: str) -> list[str]:
        """The different texts of a column, in the order of their first row."""
        return list(dict.fromkeys(row[name] for row in self.rows))


def only(folder: Path, pattern: str) -> Path:
    """The one file of a folder that fits a pattern. Raises CellError where none or several do."""
    paths = sorted(folder.glob(pattern))
    if len(paths) != 1:
        raise CellError(
            f"{folder / pattern} must be one file, found {', '.join(path.name for path in paths) or 'none'}"
        )
    return paths[0]


def value(text: str) -> Any:
    """A number where the text is one, NaN where there is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return text
