"""Token vectors the user computed with any encoder, read from a folder: ``--checkpoint embeddings:DIR``.

DIR holds ``documents.safetensors`` or ``documents.npz``, or several of them (``documents-00000.safetensors``, …), and
``queries…`` likewise. A file holds, for n items with Σp patches in all:

- ``vectors`` (Σp, d): float16, float32, float64 or, in safetensors, bfloat16; item after item; one d in all files;
- ``offsets`` (n + 1) or ``counts`` (n), whole numbers: where each item's vectors begin and end, or how many it has;
- ``ids``: n strings, the ids of the dataset; whole numbers are read as text. In npz an array, never pickled; in
  safetensors a JSON list under the metadata key ``ids``.

    >>> save_file({"vectors": vectors, "counts": counts}, "DIR/documents.safetensors", {"ids": json.dumps(ids)})
    >>> np.savez("DIR/queries.npz", vectors=vectors, counts=counts, ids=np.array(ids, dtype=str))

Vectors are scored as given, rounded to float16: nothing is normalised, cut or computed, so ``--dtype`` and ``--device``
change nothing here. Items the dataset does not have are ignored. A safetensors file is memory-mapped; an npz file is
read whole, one at a time, so a large corpus is better kept in safetensors. The ids and counts of all files are in
memory.
"""

from __future__ import annotations

import bisect
import collections
import functools
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors import SafetensorError, safe_open

from harness.encoders.base import FAMILIES
from harness.errors import DataError, Problems, examples, first_line
from harness.files import digest, remembered
from harness.records import Document, Query

BATCH = 256  # items a batch
MANY = {"document": "documents", "query": "queries"}
DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}  # safetensors' name: ours
SAVED = {
    ".npz": "save np.savez(path, vectors=…, counts=…, ids=np.array(…, dtype=str))",
    ".safetensors": "save save_file({'vectors': …, 'counts': …}, path, {'ids': json.dumps(…)})",
}
UNREADABLE: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError)
UNREADABLE += (MemoryError, SafetensorError, zipfile.BadZipFile, zlib.error)  # what readers raise on damaged files

Read = Callable[[int, int], np.ndarray]  # (first patch, last + 1) → float16, float32 or float64 (p, d)


@dataclass(frozen=True)
class Part:
    """One file, all but its vectors: item i has vectors ``offsets[i]`` to ``offsets[i + 1]``, int64 (n + 1).

    notes: what a run must say of it.
    """

    path: Path
    ids: Sequence[str]
    offsets: np.ndarray
    dtype: str
    dim: int
    notes: Sequence[str] = ()


@FAMILIES.register("precomputed")
class Precomputed:
    """Vectors by item id, in the order of the files; the items' texts are not looked at."""

    reads: ClassVar[str] = "ids"
    rank: ClassVar[int] = 200  # a model's folder stays one whatever else is in it

    @staticmethod
    def recognises(folder: Path) -> bool:
        return any(find(folder, role) for role in MANY)

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        """Read everything but the vectors. Raises DataError with a line for every file that cannot be used."""
        self.folder = folder
        self.parts: dict[str, list[Part]] = {role: [] for role in MANY}
        problems = Problems()
        for role, many in MANY.items():
            paths = find(folder, role)
            if not paths:
                problems.add(f"{folder} has no vectors of {many}; write them to {many}.safetensors or {many}.npz in it")
            for path in paths:
                with problems:
                    self.parts[role].append(examine(path))
        problems.stop(DataError)
        parts = [part for role in MANY for part in self.parts[role]]
        for part in parts:
            if part.dim != parts[0].dim:
                problems.add(
                    f"{part.path}: vectors have {part.dim:,} dimensions, those of {parts[0].path}"
                    f" {parts[0].dim:,}; all files must come from one encoder"
                )
        self.rows: dict[str, dict[str, int]] = {}  # role → id → row, counted through all files
        for role in MANY:
            with problems:
                self.rows[role] = _rows(self.parts[role])
        problems.stop(DataError)
        self.notes = [note for part in parts for note in part.notes]
        self.fingerprint = digest([(part.path.name, remembered(part.path)) for part in parts])
        self._open = functools.lru_cache(maxsize=1)(reader)  # one file at a time

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process, which opens files of its own."""
        vars(self).update(state, _open=functools.lru_cache(maxsize=1)(reader))

    def recipe(self, role: str) -> dict[str, Any]:
        dtypes = sorted({part.dtype for part in self.parts[role]})
        return {"family": "precomputed", "role": role, "dtype": ",".join(dtypes), "dim": self.parts[role][0].dim}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)). Raises DataError naming what has no vectors, or has unusable ones."""
        rows, many = self.rows[role], MANY[role]
        if missing := [item.id for item in items if item.id not in rows]:
            way = f"add them to a {many} file in it"
            if len(missing) == len(items):
                way = f"it has those of {examples(rows)}: the ids must be the dataset's"
            lacks = f"has no vectors for {len(missing):,} of {len(items):,} {many} asked for ({examples(missing)})"
            raise DataError(f"{self.folder} {lacks}; {way}")
        asked = sorted((rows[item.id], at) for at, item in enumerate(items))
        starts = [0, *itertools.accumulate(len(part.ids) for part in self.parts[role])]
        for number, group in itertools.groupby(asked, lambda pair: bisect.bisect(starts, pair[0]) - 1):
            mine = list(group)
            for start in range(0, len(mine), BATCH):
                batch = mine[start : start + BATCH]
                vectors = self._vectors(self.parts[role][number], [row - starts[number] for row, _ in batch])
                yield [(at, one) for (_, at), one in zip(batch, vectors, strict=True)]

    def tokens(self, text: str, role: str) -> list[str]:
        """Empty names, enough for the role's longest item: vectors without their tokenizer have no tokens to show."""
        return [""] * max((int(np.diff(part.offsets).max(initial=0)) for part in self.parts[role]), default=0)

    def _vectors(self, part: Part, rows: Sequence[int]) -> list[np.ndarray]:
        """The vectors of a file's items in float16, each checked."""
        with _told(part.path):
            read = self._open(part.path)
            given = [read(int(part.offsets[row]), int(part.offsets[row + 1])) for row in rows]
        with np.errstate(over="ignore"):
            narrowed = [vectors.astype(np.float16, copy=False) for vectors in given]
        wrong: dict[str, list[str]] = collections.defaultdict(list)
        for row, wide, narrow in zip(rows, given, narrowed, strict=True):
            if len(wide) and np.isfinite(narrow).all():
                continue
            line = "NaN or infinite numbers in the vectors of {}; compute them again"
            if not len(wide):
                line = "no vector for {}; every item needs at least one"
            elif np.isfinite(wide).all():
                line = "vectors of {} go beyond ±65,504, float16's range; scale all files down"
            wrong[line].append(part.ids[row])
        if wrong:
            raise DataError(*(f"{part.path}: {line.format(examples(ids))}" for line, ids in wrong.items()))
        return narrowed


def find(folder: Path, role: str) -> list[Path]:
    """The files of a role, by name."""
    name = re.compile(rf"{MANY[role]}(-\d+)?\.(safetensors|npz)")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []


def examine(path: Path) -> Part:
    """A file's ids, offsets, dtype and dimensions, checked; vectors are not read. Raises DataError naming the file."""
    with _told(path):
        dtype, shape, ids, tables = (_npz if path.suffix == ".npz" else _safetensors)(path)
    if dtype not in DTYPES.values():
        raise DataError(f"{path}: vectors are {dtype}; save them as {', '.join(DTYPES.values())}")
    if len(shape) != 2 or shape[1] == 0:
        shaped = f"vectors must have the shape (patches of all items, dimensions), not {tuple(shape)}"
        way = "; save vectors[mask] and counts=mask.sum(1), without the padding" if len(shape) == 3 else ""
        raise DataError(f"{path}: {shaped}{way}")
    ids, notes = _text(path, ids)
    notes += [f"vectors of {path.name} are float64, rounded to float16"] if dtype == "float64" else []
    (name, table), *more = tables.items()
    if more:
        raise DataError(f"{path} has both offsets and counts; leave one out")
    if table.ndim != 1 or table.dtype.kind not in "iu":
        raise DataError(f"{path}: {name} must be a list of whole numbers, not {table.dtype} {table.shape}")
    wanted = len(ids) + (name == "offsets")
    if len(table) != wanted:
        raise DataError(f"{path}: {len(ids):,} ids need {wanted:,} {name}, not {len(table):,}")
    table = table.astype(np.int64)
    if name == "counts" and ((table < 0) | (table > shape[0])).any():
        raise DataError(f"{path}: counts must lie between 0 and the number of vectors, {shape[0]:,}")
    offsets = table if name == "offsets" else np.concatenate([[0], np.cumsum(table)])
    if offsets[0] != 0 or offsets[-1] != shape[0] or (offsets[1:] < offsets[:-1]).any():
        rises = "; offsets begin at 0 and never fall" if name == "offsets" else ""
        raise DataError(f"{path}: {name} do not fit: they end at vector {offsets[-1]:,} of {shape[0]:,}{rises}")
    return Part(path, ids, offsets, dtype, shape[1], notes)


def _text(path: Path, ids: Any) -> tuple[list[str], list[str]]:
    """Ids as text, and what is to be said of them."""
    if not isinstance(ids, list) or not all(isinstance(one, str | int) and not isinstance(one, bool) for one in ids):
        raise DataError(f"{path}: ids must be a list of strings")
    numbers = [number for number in ids if isinstance(number, int)]
    said = f"{len(numbers):,} ids of {path.name} that are whole numbers read as text ({examples(numbers[:1])})"
    return list(map(str, ids)), [said] if numbers else []


def reader(path: Path) -> Read:
    """Opens a file's vectors: bfloat16 is read as float32, which holds it exactly."""
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            whole = _member(path, archive, "vectors")
        return lambda start, stop: whole[start:stop]
    file: Any = safe_open(path, framework="pt")  # numpy has no bfloat16
    vectors = file.get_slice("vectors")
    if vectors.get_dtype() == "BF16":
        return lambda start, stop: vectors[start:stop].float().numpy()
    return lambda start, stop: vectors[start:stop].numpy()


def _safetensors(path: Path) -> tuple[str, Sequence[int], Any, dict[str, np.ndarray]]:
    """(dtype of vectors, their shape, ids, offsets or counts)"""
    with safe_open(path, framework="numpy") as file:
        about = file.metadata() or {}
        names = _needed(path, [*({*file.keys()} - {"ids"}), *({*about} & {"ids"})])
        vectors, tables = file.get_slice("vectors"), {name: file.get_tensor(name) for name in names}
        dtype = vectors.get_dtype()
        return DTYPES.get(dtype, dtype), vectors.get_shape(), json.loads(about["ids"]), tables


def _npz(path: Path) -> tuple[str, Sequence[int], Any, dict[str, np.ndarray]]:
    """(dtype of vectors, their shape, ids, offsets or counts)"""
    with zipfile.ZipFile(path) as archive:
        tables = _needed(path, [name.removesuffix(".npy") for name in archive.namelist()])
        with archive.open("vectors.npy") as file:
            heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = heads[np.lib.format.read_magic(file)](file)
        ids = _member(path, archive, "ids")
        strings = ids.tolist() if ids.ndim == 1 and ids.dtype.kind in "Uiu" else None
        return dtype.name, shape, strings, {name: _member(path, archive, name) for name in tables}


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        try:
            return np.lib.format.read_array(file, allow_pickle=False)
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
    hint = "; save np.array(ids, dtype=str)" if name == "ids" else ""
    raise DataError(f"{path}: {name} is pickled, and what is pickled is never opened{hint}")


def _needed(path: Path, names: Sequence[str]) -> list[str]:
    """Which of offsets and counts are there. Raises DataError if the file lacks something."""
    tables = [name for name in ("offsets", "counts") if name in names]
    lacks = [name for name in ("vectors", "ids") if name not in names] + ([] if tables else ["offsets or counts"])
    if lacks:
        where = " (ids belong in the metadata, as a JSON list)" if "ids" in lacks and path.suffix != ".npz" else ""
        has = ", ".join(sorted(names)) or "nothing"
        raise DataError(f"{path} has no {' and no '.join(lacks)}{where}; it has {has}; {SAVED[path.suffix]}")
    return tables


def _rows(parts: Sequence[Part]) -> dict[str, int]:
    """id → row, counted through all files. Raises DataError naming files and ids that come again."""
    rows: dict[str, int] = {}
    again: dict[Path, list[str]] = collections.defaultdict(list)
    for row, (path, name) in enumerate((part.path, name) for part in parts for name in part.ids):
        if rows.setdefault(name, row) != row:
            again[path].append(name)
    if again:
        raise DataError(
            *(
                f"{path}: ids already given, in this file or one before it: {examples(ids)}; keep one of each"
                for path, ids in again.items()
            )
        )
    return rows


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What a damaged file raises, as one line that names it."""
    try:
        yield
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); write it again") from None
