"""Files of vectors as people save them: ids, counts, types and shapes at once, an item's vectors when it is wanted.

A file, ``.npz``, ``.safetensors`` or ``.npy``, holds one of these, in float16, float32, float64 or bfloat16:

- ``vectors`` (Σp, d), item after item, and ``counts`` (n) or ``offsets`` (n + 1), whole numbers;
- ``vectors`` (n, p, d), padded, and ``mask`` (n, p) or ``counts`` (n);
- one array (p, d) for each item, named by its id, or as ``np.savez(path, *arrays)`` names them.

``ids`` are n strings or whole numbers: an array of the npz, a JSON list in the metadata of the safetensors. What a file
lacks may lie beside it: ``documents.ids.txt`` (one id per line), ``.json``, ``.csv`` or ``.npy``, and likewise
``documents.counts.npy``. harness.encoders.tables lists the other names that are understood. What is pickled is never
opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.encoders.arrays import DTYPES, OPENED, Head, named
from harness.encoders.tables import KINDS, MANY, as_text, find_tables, plain
from harness.errors import DataError, examples

SAVED = "save it with harness.save_vectors(folder, ids, arrays)"

Reader = Callable[[int], np.ndarray]
"""row of an item → its vectors (p, d), bfloat16 as float32."""


@dataclass(frozen=True, eq=False)
class Part:
    """One file, all but its vectors.

    ids: None where it names none; counts: vectors of each item, int64 (n); names: of an array for each item, or of the
    one array of all; bounds: where in that array each item begins and ends, int64 (n + 1); mask: of a padded array,
    bool (n, p); beside: other files that were read; notes: what a run must say of it.
    """

    path: Path
    ids: Sequence[str] | None
    counts: np.ndarray
    dtype: str
    dim: int
    names: Sequence[str]
    bounds: np.ndarray | None = None
    mask: np.ndarray | None = None
    beside: Sequence[Path] = ()
    notes: Sequence[str] = ()


def find(folder: Path, role: str) -> list[Path]:
    """The files of a role, by name."""
    name = re.compile(rf"{MANY[role]}(-\d+)?({'|'.join(map(re.escape, OPENED))})")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []


def examine(path: Path, role: str = "document") -> Part:
    """All of a file but its vectors, checked. Raises DataError naming the file."""
    with named(path):
        file = OPENED[path.suffix](path)
        tables, beside = find_tables(path, role, file)
        inside = {name for name, _ in tables.values()}
        arrays = {name: head for name, head in file.heads.items() if name not in inside}
    if pickled := [name for name, (dtype, _) in arrays.items() if dtype == "object"]:
        raise DataError(f"{path}: {pickled[0]} is pickled, and what is pickled is never opened; {SAVED}")
    if len(more := [kind for kind in ("offsets", "counts", "mask") if kind in tables]) > 1:
        raise DataError(f"{path} has both {' and '.join(more)}; leave one out")
    vectors = [name for name in arrays if KINDS.get(plain(name)) == "vectors"]
    listed = bool(arrays) and not more and vectors != list(arrays)
    if not listed:
        _check_whole(path, vectors, tables, 3 if vectors and len(arrays[vectors[0]][1]) == 3 else 2)
    ids, notes = (None, []) if "ids" not in tables else as_text(path, tables["ids"][1])
    if listed:
        part = _listed(path, arrays, ids)
    else:
        name, (kind, (_, table)) = vectors[0], next(item for item in tables.items() if item[0] != "ids")
        dtype, shape = arrays[name]
        _check_vectors(path, dtype, shape, (2, 3))
        part = (_padded if len(shape) == 3 else _flat)(path, name, arrays[name], ids or [], kind, np.asarray(table))
    notes += [f"vectors of {path.name} are float64, rounded to float16"] if "float64" in part.dtype else []
    return replace(part, beside=beside, notes=notes)


def _check_whole(path: Path, vectors: Sequence[str], tables: Mapping[str, object], axes: int) -> None:
    """Raise DataError if a file of one array for all items lacks something."""
    lacks = [name for name, there in (("vectors", vectors), ("ids", "ids" in tables)) if not there]
    lacks += [] if tables.keys() - {"ids"} else ["mask or counts" if axes == 3 else "offsets or counts"]
    if lacks:
        where = ", in its metadata or" if path.suffix == ".safetensors" else ", in it or"
        where = f" (a list{where} in {path.stem}.ids.json)" if "ids" in lacks else ""
        has = ", ".join(sorted([*vectors, *tables])) or "nothing"
        raise DataError(f"{path} has no {' and no '.join(lacks)}{where}; it has {has}; {SAVED}")


def _check_vectors(path: Path, dtype: str, shape: Sequence[int], axes: Sequence[int]) -> None:
    if dtype not in DTYPES.values():
        raise DataError(f"{path}: vectors are {dtype}; save them as {', '.join(DTYPES.values())}")
    if len(shape) not in axes or shape[-1] == 0:
        wanted = "the shape (patches of all items, dimensions)"
        raise DataError(f"{path}: vectors must have {wanted}, not {tuple(shape)}; or {SAVED}")


def _listed(path: Path, arrays: Mapping[str, Head], ids: Sequence[str] | None) -> Part:
    """One array an item: named by ids, or numbered."""
    names = list(arrays)
    if all(re.fullmatch(r"arr_\d+", name) for name in names):
        names.sort(key=lambda name: int(name[4:]))
    elif ids is None:
        ids = names
    else:
        raise DataError(f"{path} has ids, and arrays that are named {examples(names)}; name them by their ids alone")
    for dtype, shape in arrays.values():
        _check_vectors(path, dtype, shape, (2,))
    if len(dims := sorted({shape[1] for _, shape in arrays.values()})) > 1:
        raise DataError(f"{path}: arrays of {dims[0]:,} and of {dims[-1]:,} dimensions; all must come from one encoder")
    if ids is not None and len(ids) != len(names):
        raise DataError(f"{path}: {len(ids):,} ids for {len(names):,} arrays")
    counts = np.array([arrays[name][1][0] for name in names], np.int64)
    dtype = ",".join(sorted({dtype for dtype, _ in arrays.values()}))
    return Part(path, ids, counts, dtype, dims[0], names)


def _padded(path: Path, name: str, head: Head, ids: Sequence[str], kind: str, table: np.ndarray) -> Part:
    """(n, p, d) with a mask or counts."""
    (dtype, (items, most, dim)) = head
    if kind == "offsets" or len(ids) != items:
        wanted = "counts or a mask, not offsets" if kind == "offsets" else f"{items:,} ids, not {len(ids):,}"
        raise DataError(f"{path}: vectors of the shape {head[1]} need {wanted}")
    if kind == "mask":
        if table.shape != (items, most) or table.dtype.kind not in "biuf":
            raise DataError(f"{path}: the mask of {head[1]} must be {(items, most)}, not {table.dtype} {table.shape}")
        return Part(path, ids, (table != 0).sum(1, dtype=np.int64), dtype, dim, [name], None, table != 0)
    counts = _whole(path, kind, table, items, most)
    return Part(path, ids, counts, dtype, dim, [name], None, np.arange(most) < counts[:, None])


def _flat(path: Path, name: str, head: Head, ids: Sequence[str], kind: str, table: np.ndarray) -> Part:
    """(Σp, d) with counts or offsets."""
    dtype, (total, dim) = head
    if kind == "mask":
        raise DataError(f"{path}: vectors of the shape {head[1]} need offsets or counts, not a mask")
    if kind == "counts":
        bounds = np.concatenate([[0], np.cumsum(_whole(path, kind, table, len(ids), total))])
    else:
        bounds = _whole(path, kind, table, len(ids) + 1, None)
    if bounds[0] != 0 or bounds[-1] != total or (bounds[1:] < bounds[:-1]).any():
        rises = "; offsets begin at 0 and never fall" if kind == "offsets" else ""
        raise DataError(f"{path}: {kind} do not fit: they end at vector {bounds[-1]:,} of {total:,}{rises}")
    return Part(path, ids, np.diff(bounds), dtype, dim, [name], bounds)


def _whole(path: Path, kind: str, table: np.ndarray, wanted: int, most: int | None) -> np.ndarray:
    """Counts or offsets, int64. most: the largest count."""
    if table.ndim != 1 or table.dtype.kind not in "iu":
        raise DataError(f"{path}: {kind} must be a list of whole numbers, not {table.dtype} {table.shape}")
    if len(table) != wanted:
        ids = wanted - (kind == "offsets")
        raise DataError(f"{path}: {ids:,} ids need {wanted:,} {kind}, not {len(table):,}")
    table = table.astype(np.int64)
    if most is not None and ((table < 0) | (table > most)).any():
        raise DataError(f"{path}: counts must lie between 0 and the number of vectors, {most:,}")
    return table


def reader(part: Part) -> Reader:
    """Opens a file's vectors."""
    file = OPENED[part.path.suffix](part.path)
    if (bounds := part.bounds) is not None:
        vectors = file.rows(part.names[0])
        return lambda row: vectors[int(bounds[row]) : int(bounds[row + 1])]
    if (mask := part.mask) is not None:
        padded = file.rows(part.names[0])
        return lambda row: padded[row : row + 1][0][mask[row]]
    return lambda row: file.rows(part.names[row])[:]
