"""A store's shards: files of float16 vectors, memory-mapped, that many processes can read at once."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError, first_line
from harness.records import MultiVectors


class Shard:
    """One file: counts int32 (n) are read, vectors float16 (Σp, d) are memory-mapped for as long as someone looks.

    Pickled it is its path: another process maps the file itself.
    """

    def __init__(self, path: Path):
        """The file is eight bytes of header size, the JSON header, then the tensors."""
        self.path = path
        held = self._map()
        size = int.from_bytes(held[:8], "little")
        try:
            header = json.loads(held[8 : 8 + size])
            self.counts = self._tensor(held, header["counts"], np.int32, 8 + size).copy()
            self._place = (header["vectors"], np.float16, 8 + size)
            self.shape = self._tensor(held, *self._place).shape
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({first_line(error)}); remove its folder, and it is made again"
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path.absolute(),)

    @property
    def vectors(self) -> np.ndarray:
        """A view of the file; its memory, its mapping and the open file go when the last view does."""
        return self._tensor(self._map(), *self._place)

    def _map(self) -> mmap.mmap:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # private: the file never changes

    @staticmethod
    def _tensor(held: mmap.mmap, place: dict[str, Any], dtype: Any, data: int) -> np.ndarray:
        shape, start = place["shape"], data + place["data_offsets"][0]
        return np.frombuffer(held, dtype, math.prod(shape), start).reshape(shape)


class Shards:
    """The vectors of all shards as one array, float16 (Σp, d); a slice inside one shard is a view of the file."""

    dtype = np.dtype(np.float16)

    def __init__(self, shards: Sequence[Shard]):
        self.shards = shards
        sizes = [shard.shape[0] for shard in shards]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.shape = (int(self.starts[-1]), shards[0].shape[1])

    def stream(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first patch, vectors) of every shard in order."""
        return ((int(start), shard.vectors) for start, shard in zip(self.starts, self.shards, strict=False))

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        """A slice, or the vectors at sorted positions."""
        if isinstance(at, slice):
            start, stop, step = at.indices(self.shape[0])
            if step != 1:
                raise ValueError("vectors are read in order; a slice takes no step")
            first, last = np.searchsorted(self.starts, [start, stop - 1], side="right") - 1
            parts = [
                shard.vectors[max(start - begin, 0) : stop - begin]
                for begin, shard in zip(self.starts[first : last + 1], self.shards[first : last + 1], strict=True)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate([self.shards[0].vectors[:0], *parts])
        bounds = np.searchsorted(at, self.starts)
        parts = [
            self.shards[int(number)].vectors[at[bounds[number] : bounds[number + 1]] - self.starts[number]]
            for number in np.flatnonzero(np.diff(bounds))
        ]
        return np.concatenate([self.shards[0].vectors[:0], *parts])


def stream(vectors: MultiVectors) -> Iterator[tuple[int, np.ndarray]]:
    """(first patch, contiguous array) of every part of the vectors, in order, one part in memory at a time."""
    return vectors.vectors.stream() if isinstance(vectors.vectors, Shards) else iter([(0, vectors.vectors)])


def part(vectors: MultiVectors, number: int) -> np.ndarray:
    """The array that ``stream`` yields at that place."""
    return vectors.vectors.shards[number].vectors if isinstance(vectors.vectors, Shards) else vectors.vectors
