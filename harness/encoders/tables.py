"""What says whose vectors are whose: ids, counts, offsets or a mask, in a file of vectors or beside it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpora.columns import DOCUMENT_IDS, QUERY_IDS
from harness.encoders.arrays import DTYPES, Arrays, named
from harness.errors import DataError, examples

MANY = {"document": "documents", "query": "queries"}
NAMES = {
    "vectors": ("vectors", "embeddings", "embedding", "embs"),
    "counts": ("counts", "doclens", "doc_lens", "lengths", "lens"),
    "offsets": ("offsets", "indptr"),
    "mask": ("mask", "masks", "attention_mask"),
    "ids": ("ids", "doc_ids", "docids", "document_ids", "query_ids", "qids"),
}
KINDS = {name: kind for kind, names in NAMES.items() for name in names}
HEADERS = {*KINDS, "id", *(name.replace("-", "_") for name in (*DOCUMENT_IDS, *QUERY_IDS))}  # of a table of ids
OF_QUERIES = ("query_ids", "qids")  # names of a table beside the files; the others without a file's name are documents'
TABLES = ("txt", "json", "csv", "npy")  # formats of a table beside a file


def plain(name: str) -> str:
    """An array's name as names are compared."""
    return name.lower().replace("-", "_")


def find_tables(path: Path, role: str, file: Arrays) -> tuple[dict[str, tuple[str, Any]], list[Path]]:
    """ids, counts, offsets or mask → (its name, itself), of a file or beside it; and the files beside it."""
    listed = [json.loads(text) for name, text in file.metadata.items() if KINDS.get(plain(name)) == "ids"]
    tables: dict[str, tuple[str, Any]] = {"ids": ("", listed[0])} if listed else {}
    whole = any(KINDS.get(plain(name)) == "vectors" for name in file.heads)
    for name, (dtype, shape) in file.heads.items():
        kind = KINDS.get(plain(name), "vectors")
        if kind == "vectors" or (len(shape) == 2 and dtype in DTYPES.values() and not (whole and kind == "mask")):
            continue  # an item may be called counts
        if dtype == "object":
            hint = "; save np.array(ids, dtype=str)" if kind == "ids" else ""
            raise DataError(f"{path}: {name} is pickled, and what is pickled is never opened{hint}")
        tables[kind] = (name, file.rows(name)[:] if shape else None)
    beside = []
    sized = any(kind in tables for kind in ("counts", "offsets", "mask"))
    for kind, place in _beside(path, role):
        if kind not in tables and (kind == "ids" or not sized):
            with named(place):
                table = _table(place)
                tables[kind] = ("", table if kind == "ids" else np.asarray(table, getattr(table, "dtype", np.int64)))
            beside.append(place)
    return tables, beside


def _beside(path: Path, role: str) -> Iterator[tuple[str, Path]]:
    """(kind, file) of the tables beside a file; one without the file's name belongs to documents in one file."""
    whole = path.stem == MANY[role]
    for place in sorted(path.parent.iterdir()):
        name, _, suffix = place.name.rpartition(".")
        own = re.fullmatch(rf"{re.escape(path.stem)}[._-](\w+)", name)
        word = plain(own[1] if own else name)
        belongs = own or (whole and (word in OF_QUERIES) == (role == "query"))
        if belongs and suffix in TABLES and KINDS.get(word, "vectors") != "vectors":
            yield KINDS[word], place


def _table(place: Path) -> Any:
    """Ids as a list, or an array of whole numbers."""
    if place.suffix == ".npy":
        return np.load(place, allow_pickle=False)
    text = place.read_bytes().decode("utf-8-sig")
    if place.suffix == ".json":
        table = json.loads(text)
        by_row = isinstance(table, dict) and sorted(table.values()) == list(range(len(table)))
        return sorted(table, key=table.__getitem__) if by_row else table
    if place.suffix == ".txt":
        return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    at = next((column for column, cell in enumerate(rows[0]) if plain(cell) in HEADERS), None)
    return [row[at or 0] for row in rows[at is not None :]]


def as_text(path: Path, ids: Any) -> tuple[list[str], list[str]]:
    """Ids as text, and what is to be said of them."""
    if isinstance(ids, np.ndarray):
        ids = np.char.decode(ids, "utf-8") if ids.dtype.kind == "S" else ids
        ids = ids.tolist() if ids.ndim == 1 and ids.dtype.kind in "Uiu" else None
    if not isinstance(ids, list) or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in ids):
        raise DataError(f"{path}: ids must be a list of strings")
    numbers = [number for number in ids if isinstance(number, int)]
    note = f"{len(numbers):,} ids of {path.name} that are whole numbers read as text ({examples(numbers[:1])})"
    return list(map(str, ids)), [note] if numbers else []
