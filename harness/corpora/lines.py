"""A file of a collection, plain or packed: its bytes, its lines, and what is wrong with them."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import Problems

PACKED = (".gz", ".zst")
SHOWN = 5  # wrong rows of a file named before the rest is left unread
LONGEST = 60  # letters of a wrong value that are shown


class Reading:
    """What is wrong with one file: its first few wrong rows, the last of which says that there may be more."""

    def __init__(self, path: Path, problems: Problems):
        self.path, self.problems = path, problems
        self.wrong = self.last = 0

    def add(self, number: int, what: str) -> None:
        """A row is wrong. number: its line, or of a parquet file its row, from 1."""
        self.wrong += 1
        self.last = len(self.problems.lines)
        self.problems.add(f"{self.path}:{number}: {what}")

    def full(self, number: int) -> bool:
        """Whether enough is wrong to stop before this row; says so."""
        if self.wrong < SHOWN:
            return False
        self.problems.lines[self.last] += f"; more lines may be wrong: reading stopped at line {number - 1}"
        return True


def ending(path: Path) -> str:
    """``.jsonl`` of ``corpus.jsonl.gz``."""
    name = path.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def stem(path: Path) -> str:
    """``corpus`` of ``corpus.jsonl.gz``."""
    name = path.name
    for packed in PACKED:
        name = name[: -len(packed)] if name.lower().endswith(packed) else name
    return Path(name).stem


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked."""
    if path.name.lower().endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    if path.name.lower().endswith(".zst"):
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def lines(path: Path, reading: Reading) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank; those that are not UTF-8 are wrong."""
    with opened(path) as file:
        for number, raw in enumerate(file, 1):
            if reading.full(number):
                return
            try:
                line = raw.decode() if number > 1 else raw.decode().removeprefix("\ufeff")
            except UnicodeDecodeError:
                reading.add(number, "not UTF-8")
                continue
            if line.strip():
                yield number, line.rstrip("\r\n")


def shown(text: Any) -> str:
    """A wrong value, short enough for a line."""
    text = repr(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
