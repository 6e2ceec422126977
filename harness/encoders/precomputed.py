"""Token vectors the user computed with any encoder, read from a folder: ``--checkpoint embeddings:DIR``.

DIR holds ``documents.safetensors``, ``documents.npz`` or ``documents.npy``, or several of them
(``documents-00000.safetensors``, …), and ``queries…`` likewise, as ``harness.save_vectors`` writes them or as
harness.encoders.vector_files says.

    >>> harness.save_vectors("DIR", document_ids, document_vectors)
    >>> harness.save_vectors("DIR", query_ids, query_vectors, "query")

Vectors are scored as given, rounded to float16: nothing is normalised, cut or computed, so ``--dtype`` and ``--device``
change nothing here. Items the dataset does not have are ignored. A safetensors or npy file is memory-mapped; of an npz
file an array is read whole, so a large corpus is better kept in safetensors. The ids and counts of all files are in
memory.
"""

from __future__ import annotations

import bisect
import collections
import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.encoders.arrays import named
from harness.encoders.base import FAMILIES
from harness.encoders.tables import MANY
from harness.encoders.vector_files import Part, examine, find, reader
from harness.errors import DataError, Problems, examples
from harness.files import digest, remembered
from harness.records import Document, Query

BATCH = 256  # items a batch


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
                problems.add(f"{folder} has no vectors of {many}; write them with harness.save_vectors")
            for path in paths:
                with problems:
                    self.parts[role].append(examine(path, role))
        problems.stop(DataError)
        parts = [part for role in MANY for part in self.parts[role]]
        for part in parts:
            if part.dim != parts[0].dim:
                problems.add(
                    f"{part.path}: vectors have {part.dim:,} dimensions, those of {parts[0].path}"
                    f" {parts[0].dim:,}; all files must come from one encoder"
                )
        self.rows: dict[str, dict[str, int]] = {}  # role → id → row, counted through all files
        self.unnamed = {role for role in MANY if any(part.ids is None for part in self.parts[role])}
        for role in MANY:
            with problems:
                self.rows[role] = _rows([part for part in self.parts[role] if part.ids is not None])
        problems.stop(DataError)
        self.notes = [note for part in parts for note in part.notes]
        files = [path for part in parts for path in (part.path, *part.beside)]
        self.fingerprint = digest([(path.name, remembered(path)) for path in dict.fromkeys(files)])
        self._open = functools.lru_cache(maxsize=1)(reader)  # one file at a time

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_open"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process, which opens files of its own."""
        vars(self).update(state, _open=functools.lru_cache(maxsize=1)(reader))

    def recipe(self, role: str) -> dict[str, Any]:
        dtypes = sorted({part.dtype for part in self.parts[role]})
        return {"family": "precomputed", "role": role, "dtype": ",".join(dtypes), "dim": self.parts[role][0].dim}

    def in_order(self, ids: Sequence[str], role: str) -> None:
        """Take items that no file names for all of the dataset's, in its order. Raises DataError if they do not fit."""
        if role not in self.unnamed:
            return
        starts = [0, *itertools.accumulate(len(part.counts) for part in self.parts[role])]
        what = f"{self.folder / MANY[role]}: {starts[-1]:,} arrays without ids"
        if starts[-1] != len(ids):
            way = f"write ids beside them, in {MANY[role]}.ids.txt"
            raise DataError(f"{what} for {len(ids):,} {MANY[role]} of the dataset; {way}")
        bounds = itertools.pairwise(starts)
        self.parts[role] = [
            replace(part, ids=ids[start:stop]) for part, (start, stop) in zip(self.parts[role], bounds, strict=True)
        ]
        self.rows[role] = _rows(self.parts[role])
        note = f"vectors without ids taken for the dataset's {MANY[role]} in order, which is {examples(ids)}"
        self.notes += [] if note in self.notes else [note]

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
        starts = [0, *itertools.accumulate(len(part.counts) for part in self.parts[role])]
        for number, group in itertools.groupby(asked, lambda pair: bisect.bisect(starts, pair[0]) - 1):
            mine = list(group)
            for start in range(0, len(mine), BATCH):
                batch = mine[start : start + BATCH]
                vectors = self._vectors(self.parts[role][number], [row - starts[number] for row, _ in batch])
                yield [(at, one) for (_, at), one in zip(batch, vectors, strict=True)]

    def tokens(self, text: str, role: str) -> list[str]:
        """Empty names, enough for the role's longest item: vectors without their tokenizer have no tokens to show."""
        return [""] * max((int(part.counts.max(initial=0)) for part in self.parts[role]), default=0)

    def _vectors(self, part: Part, rows: Sequence[int]) -> list[np.ndarray]:
        """The vectors of a file's items in float16, each checked."""
        with named(part.path):
            given = list(map(self._open(part), rows))
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
            wrong[line].append((part.ids or [])[row])
        if wrong:
            raise DataError(*(f"{part.path}: {line.format(examples(ids))}" for line, ids in wrong.items()))
        return narrowed


def _rows(parts: Sequence[Part]) -> dict[str, int]:
    """id → row, counted through all files. Raises DataError naming files and ids that come again."""
    rows: dict[str, int] = {}
    again: dict[Path, list[str]] = collections.defaultdict(list)
    for row, (path, name) in enumerate((part.path, name) for part in parts for name in part.ids or ()):
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
