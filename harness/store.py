"""MultiVectors on disk: memory-mapped safetensors shards and a manifest, content-addressed, written atomically.

A folder ``vectors/<key>/`` holds ``00000.safetensors`` … (``vectors`` float16 (Σp, d), ``counts`` int32), ``ids.json``
and ``manifest.json``, which is written last. A folder without a manifest is unfinished; its shards are kept and used.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import save

from harness.errors import DataError, examples, first_line
from harness.files import cache_folder, checksum, digest, write_atomically
from harness.progress import Stages
from harness.records import Document, MultiVectors, Query, content

FORMAT = 1
BEHIND = 16  # shards that tasks may still be reading when the stream has moved on
SHARD = 512  # items a shard: what an interrupted run can lose


class Encodes(Protocol):
    """What the store needs of an encoder (see harness.encoders)."""

    fingerprint: str

    def recipe(self, role: str) -> dict[str, Any]: ...

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]: ...


class Projected:
    """An encoder that projects its backbone's stored vectors: checkpoints of one frozen backbone encode a text once."""

    def __init__(self, encoder: Any, vectors: MultiVectors):
        self.encoder, self.vectors = encoder, vectors
        self.rows = {name: row for row, name in enumerate(vectors.ids)}
        self.fingerprint, self.recipe = encoder.fingerprint, encoder.recipe

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        for at, item in enumerate(items):
            yield [(at, self.encoder.project(self.vectors.of(self.rows[item.id])))]


class Shard:
    """One file's vectors, float16 (Σp, d), memory-mapped; ``release`` gives their memory back until they are read."""

    def __init__(self, path: Path):
        """The file is eight bytes of header size, the JSON header, then the tensors."""
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
        parts = [block[at[(at >= begin) & (at < begin + len(block))] - begin] for begin, block in self.stream()]
        return np.concatenate(parts)


def stream(vectors: MultiVectors) -> Iterator[tuple[int, np.ndarray]]:
    """(first patch, contiguous array) of every part of the vectors, in order, one part in memory at a time."""
    return vectors.vectors.stream() if isinstance(vectors.vectors, Shards) else iter([(0, vectors.vectors)])


def fetch(
    encoder: Encodes, items: Sequence[Document] | Sequence[Query], role: str, stages: Stages, root: Path | None = None
) -> MultiVectors:
    """Vectors of the items under an encoder: from the cache, or encoded shard by shard and cached.

    role: ``document`` or ``query``. An encoder with a ``backbone`` projects the backbone's vectors, which are cached
    too. Raises DataError naming items without a vector or with one that is not finite.
    """
    key = digest(FORMAT, SHARD, encoder.fingerprint, encoder.recipe(role), [content(item) for item in items])
    folder, many = (root or cache_folder()) / "vectors" / key, {"query": "queries"}.get(role, f"{role}s")
    if not (folder / "manifest.json").exists():
        verb = "encode"
        if backbone := getattr(encoder, "backbone", None):
            encoder, verb = Projected(encoder, fetch(backbone, items, role, stages, root)), "project"
        with stages(f"{verb} {many}", len(items), many) as advance:
            for number, start in enumerate(range(0, len(items), SHARD)):
                part = items[start : start + SHARD]
                path = folder / f"{number:05d}.safetensors"
                if path.exists():
                    advance(len(part))
                    continue
                encoded: list[np.ndarray] = [np.empty((0, 0))] * len(part)
                for batch in encoder.encode(part, role):
                    for at, vectors in batch:
                        encoded[at] = vectors
                    advance(len(batch), sum(len(vectors) for _, vectors in batch))
                write_atomically(path, _shard([item.id for item in part], encoded))
            _finish(folder, [item.id for item in items], encoder.recipe(role))
    return read(folder)


def _shard(ids: Sequence[str], encoded: Sequence[np.ndarray]) -> bytes:
    with np.errstate(over="ignore"):
        encoded = [vectors.astype(np.float16, copy=False) for vectors in encoded]
    empty = [name for name, vectors in zip(ids, encoded, strict=True) if len(vectors) == 0]
    broken = [name for name, vectors in zip(ids, encoded, strict=True) if not np.isfinite(vectors).all()]
    if empty or broken:
        lines = [f"no vector for {examples(empty)}: the text has no token; remove it"] if empty else []
        lines += (
            [f"NaN or infinite in float16: vectors of {examples(broken)}; the checkpoint is broken"] if broken else []
        )
        raise DataError(*lines)
    counts = np.array([len(vectors) for vectors in encoded], np.int32)
    return save({"vectors": np.concatenate(encoded), "counts": counts})


def _finish(folder: Path, ids: Sequence[str], recipe: dict[str, Any]) -> None:
    files = sorted(folder.glob("*.safetensors"))
    shards = [{"file": path.name, "sha256": checksum(path)} for path in files]
    write_atomically(folder / "ids.json", json.dumps(ids, ensure_ascii=False).encode())
    manifest = {"format": FORMAT, "items": len(ids), "recipe": recipe, "shards": shards}
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1).encode())


def read(folder: Path) -> MultiVectors:
    """Open a finished folder; nothing but counts and ids is read."""
    manifest = json.loads((folder / "manifest.json").read_text())
    shards = [Shard(folder / shard["file"]) for shard in manifest["shards"]]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([shard.counts for shard in shards]), dtype=np.int64)])
    ids = json.loads((folder / "ids.json").read_text())
    return MultiVectors(ids, Shards(shards), offsets, fingerprint=folder.name)
