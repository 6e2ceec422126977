"""A store's shards: files of float16 vectors, memory-mapped, that many processes can read at once."""

from __future__ import annotations

import json
import math
import mmap
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.errors import DataError, first_line
from harness.records import MultiVectors

BEHIND = 16  # shards that tasks may still be reading when the stream has moved on


class Shard:
    """One file's vectors, float16 (Σp, d), memory-mapped; ``release`` gives their memory back until they are read.

    Pickled it is its path: another process maps the file itself.
    """

    open: ClassVar[weakref.WeakSet[Shard]] = weakref.WeakSet()  # of this process

    def __init__(self, path: Path):
        """The file is eight bytes of header size, the JSON header, then the tensors."""
        self.path = path
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # private: the file never changes
        size = int.from_bytes(self._map[:8], "little")
        try:
            header = json.loads(self._map[8 : 8 + size])
            self.vectors = self._tensor(header["vectors"], np.float16, 8 + size)
            self.counts = self._tensor(header["counts"], np.int32, 8 + size)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is damaged ({first_line(error)}); remove its folder, and it is made again"
            ) from None
        self.open.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Shard, (self.path.absolute(),)

    def _tensor(self, about: dict[str, Any], dtype: Any, data: int) -> np.ndarray:
        shape, start = about["shape"], data + about["data_offsets"][0]
        return np.frombuffer(self._map, dtype, math.prod(shape), start).reshape(shape)

    def release(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


class Shards:
    """The vectors of all shards as one array, float16 (Σp, d); a slice inside one shard is a view of the file."""

    dtype = np.dtype(np.float16)

    def __init__(self, shards: Sequence[Shard]):
        self.shards = shards
        sizes = [len(shard.vectors) for shard in shards]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.shape = (int(self.starts[-1]), shards[0].vectors.shape[1])

    def stream(self) -> Iterator[tuple[int, np.ndarray]]:
        """(first patch, vectors) of every shard in order, the memory of those well behind given back on the way.

        Given back again and again: a task that was still reading a shard brings some of it back.
        """
        for at, shard in enumerate(self.shards):
            for earlier in self.shards[max(0, at - BEHIND) : max(0, at - 2)]:
                earlier.release()
            yield int(self.starts[at]), shard.vectors
        for shard in self.shards[-BEHIND:]:
            shard.release()

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
        parts = []
        for begin, shard in zip(self.starts, self.shards, strict=False):
            parts.append(shard.vectors[at[(at >= begin) & (at < begin + len(shard.vectors))] - begin])
            shard.release()
        return np.concatenate(parts)


def stream(vectors: MultiVectors) -> Iterator[tuple[int, np.ndarray]]:
    """(first patch, contiguous array) of every part of the vectors, in order, one part in memory at a time."""
    return vectors.vectors.stream() if isinstance(vectors.vectors, Shards) else iter([(0, vectors.vectors)])


def part(vectors: MultiVectors, number: int) -> np.ndarray:
    """The array that ``stream`` yields at that place."""
    return vectors.vectors.shards[number].vectors if isinstance(vectors.vectors, Shards) else vectors.vectors
