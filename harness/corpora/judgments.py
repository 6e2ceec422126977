"""Judgments from lines of text, rows of a table, or lists inside the queries."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.corpora import rows
from harness.corpora.cards import Card
from harness.corpora.columns import QRELS
from harness.corpora.lines import Reading, ending, lines, shown
from harness.corpora.notes import Named
from harness.corpora.rows import Row
from harness.errors import Problems
from harness.records import Qrel

HIGHEST = 127  # grade; measures raise 2 to it
NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?")
WANTED = "query-id, corpus-id and a whole-number score"


class Judgments:
    """What was judged, and what is to be said of how it was written.

    card: of the dataset; ungraded: files without grades; comments: lines left out; numbers: ids that were numbers;
    binary: grades read as 0 or 1; inside: whether queries held judgments.
    """

    def __init__(self, card: Card, problems: Problems):
        self.card, self.problems = card, problems
        self.qrels: list[Qrel] = []
        self.ungraded: list[str] = []
        self.comments = Named()
        self.numbers = Named()
        self.binary = 0
        self.inside = False

    def read(self, path: Path) -> None:
        """All judgments of a file."""
        reading = Reading(path, self.problems)
        found = (
            _lines(path, reading, self.comments)
            if _is_text(path)
            else rows.rows(path, QRELS, reading, [*self.card.keep])
        )
        graded, before = True, len(self.qrels)
        for number, row in found:
            if self.card.keeps(row):
                graded &= "grade" in row
                self.add(number, row, reading)
        if not graded and len(self.qrels) > before:
            self.ungraded.append(path.name)

    def nested(self, query: str, value: Any) -> bool:
        """Judgments inside a query: ids, or records with one, in lists of any depth. False if they are not."""
        self.inside = True
        found = list(_ids(value))
        self.qrels += [Qrel(query, name, 1) for name in dict.fromkeys(found) if name]
        return None not in found

    def add(self, number: int, row: Row, reading: Reading) -> None:
        """One judgment: query, document and, if it has one, grade."""
        query, document = (self._id(row[key]) for key in ("query", "document"))
        given = row.get("grade", 1)
        if query is None or document is None:
            reading.add(number, f"{shown(row['query' if query is None else 'document'])} is no id; needs {WANTED}")
        elif (value := number_of(given)) is None or not abs(value) <= HIGHEST:
            reading.add(number, f"score {shown(given)}; needs {WANTED} up to {HIGHEST}")
        elif self.card.relevant_from is not None:
            self.binary += 1
            self.qrels.append(Qrel(query, document, int(value >= self.card.relevant_from)))
        elif value != int(value):
            place = f"{self.card.folder}.yaml" if self.card.folder else "the dataset's card"
            reading.add(number, f"score {shown(given)} is a fraction; write relevant_from: 1, say, into {place}")
        else:
            self.qrels.append(Qrel(query, document, int(value)))

    def _id(self, value: Any) -> str | None:
        if isinstance(value, int) and not isinstance(value, bool):
            self.numbers.add(value)
        return identifier(value)


def identifier(value: Any) -> str | None:
    """An id as text: whole numbers in decimal; None for what is neither text nor a whole number, and for no text."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def number_of(value: Any) -> float | None:
    """A finite number, from a number or its text; None for anything else."""
    if isinstance(value, str):
        value = float(value) if NUMBER.fullmatch(value.strip()) else None
    return float(value) if isinstance(value, int | float) and -1e300 < value < 1e300 and math.isfinite(value) else None


def _is_text(path: Path) -> bool:
    return ending(path) not in (*rows.JSONL, *rows.PARQUET, ".csv")


def _lines(path: Path, reading: Reading, comments: Named) -> Iterator[tuple[int, Row]]:
    """Lines of two to four columns, between tabs or white space. A first line of a header's words gives their order."""
    if not path.is_file():
        reading.problems.add(f"{path} is missing")
        return
    names: dict[int, Any] = dict(QRELS.positions)
    first = True
    try:
        for number, line in lines(path, reading):
            cells = line.rstrip("\t ").split("\t") if "\t" in line.rstrip("\t ") else line.split()
            if _is_comment(line, cells):
                comments.add(line)
                continue
            if first and QRELS.is_header(cells):
                chosen = {name: ours for ours, name in QRELS.choose(cells).items()}
                names = {len(cells): [chosen.get(name) for name in cells]}
            elif columns := names.get(len(cells)):
                yield number, {ours: cell for ours, cell in zip(columns, cells, strict=True) if ours}
            else:
                reading.add(number, f"{shown(line)} needs {WANTED}, tab-separated")
            first = False
    except (OSError, EOFError, ValueError) as error:
        reading.problems.add(f"{path} cannot be read ({error}); download or write it again")


def _is_comment(line: str, cells: list[str]) -> bool:
    """A line that begins with # and is no judgment of a query whose id does."""
    if not line.startswith("#"):
        return False
    return line.startswith("# ") or not (3 <= len(cells) <= 4 and number_of(cells[-1]) is not None)


def _ids(value: Any) -> Iterator[str | None]:
    """The ids in lists of lists, records such as ``{"docid": …}`` among them; None for what is none."""
    if isinstance(value, dict):
        names = QRELS.choose(list(value))
        yield identifier(value[names["document"]]) if "document" in names else None
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _ids(part)
    elif value is not None:
        yield identifier(value)
