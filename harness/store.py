"""MultiVectors on disk: memory-mapped safetensors shards and a manifest, content-addressed, written atomically.

A folder ``vectors/<key>/`` holds ``00000.safetensors`` … (``vectors`` float16 (Σp, d), ``counts`` int32), ``ids.json``
and ``manifest.json``, which is written last. A folder without a manifest is unfinished; its shards are kept and used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import save

from harness.errors import DataError, examples
from harness.files import cache_folder, checksum, digest, write_atomically
from harness.progress import Stages
from harness.records import Document, MultiVectors, Query

FORMAT = 1
SHARD = 512  # items a shard: what an interrupted run can lose


class Encodes(Protocol):
    """What the store needs of an encoder (see harness.encoders)."""

    fingerprint: str

    def recipe(self, role: str) -> dict[str, Any]: ...

    def encode(self, texts: Sequence[str], role: str) -> Iterator[list[tuple[int, np.ndarray]]]: ...


class Shards:
    """The vectors of all shards as one array, float16 (Σp, d); a slice inside one shard is a view of the file.

    blocks: (first patch, memory map) of every shard, in order.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, maps: Sequence[np.ndarray]):
        sizes = [len(one) for one in maps]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.blocks = list(zip(self.starts[:-1].tolist(), maps, strict=True))
        self.shape = (int(self.starts[-1]), maps[0].shape[1])

    def __getitem__(self, at: slice | np.ndarray) -> np.ndarray:
        if isinstance(at, slice):
            start, stop, _ = at.indices(self.shape[0])
            parts = [
                block[max(start - first, 0) : stop - first]
                for first, block in self.blocks
                if first < stop and first + len(block) > start
            ]
            return parts[0] if len(parts) == 1 else np.concatenate([self.blocks[0][1][:0], *parts])
        out = np.empty((len(at), self.shape[1]), np.float16)
        shard = np.searchsorted(self.starts, at, side="right") - 1
        for number, (first, block) in enumerate(self.blocks):
            here = shard == number
            out[here] = block[at[here] - first]
        return out


def blocks(vectors: MultiVectors) -> list[tuple[int, np.ndarray]]:
    """(first patch, contiguous array) of every part of the vectors, in order."""
    return vectors.vectors.blocks if isinstance(vectors.vectors, Shards) else [(0, vectors.vectors)]


def fetch(
    encoder: Encodes, items: Sequence[Document] | Sequence[Query], role: str, stages: Stages, root: Path | None = None
) -> MultiVectors:
    """Vectors of the items under an encoder: from the cache, or encoded shard by shard and cached.

    role: ``document`` or ``query``. Raises DataError naming items without a vector or with one that is not finite.
    """
    key = digest(FORMAT, encoder.fingerprint, encoder.recipe(role), [(item.id, item.text) for item in items])
    folder, many = (root or cache_folder()) / "vectors" / key, {"query": "queries"}.get(role, f"{role}s")
    if not (folder / "manifest.json").exists():
        with stages(f"encode {many}", len(items), many) as advance:
            for number, start in enumerate(range(0, len(items), SHARD)):
                part = items[start : start + SHARD]
                path = folder / f"{number:05d}.safetensors"
                if path.exists():
                    advance(len(part))
                    continue
                encoded: list[np.ndarray] = [np.empty((0, 0))] * len(part)
                for batch in encoder.encode([item.text for item in part], role):
                    for at, vectors in batch:
                        encoded[at] = vectors
                    advance(len(batch), sum(len(vectors) for _, vectors in batch))
                write_atomically(path, _shard([item.id for item in part], encoded))
            _finish(folder, [item.id for item in items], encoder.recipe(role))
    return read(folder)


def _shard(ids: Sequence[str], encoded: Sequence[np.ndarray]) -> bytes:
    empty = [name for name, vectors in zip(ids, encoded, strict=True) if len(vectors) == 0]
    broken = [name for name, vectors in zip(ids, encoded, strict=True) if not np.isfinite(vectors).all()]
    if empty or broken:
        lines = [f"no vector for {examples(empty)}: the text has no token; remove it"] if empty else []
        lines += [f"NaN or infinite vectors for {examples(broken)}: the checkpoint is broken"] if broken else []
        raise DataError(*lines)
    counts = np.array([len(vectors) for vectors in encoded], np.int32)
    return save({"vectors": np.concatenate(encoded).astype(np.float16, copy=False), "counts": counts})


def _finish(folder: Path, ids: Sequence[str], recipe: dict[str, Any]) -> None:
    files = sorted(folder.glob("*.safetensors"))
    shards = [{"file": path.name, "sha256": checksum(path)} for path in files]
    write_atomically(folder / "ids.json", json.dumps(ids, ensure_ascii=False).encode())
    manifest = {"format": FORMAT, "items": len(ids), "recipe": recipe, "shards": shards}
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1).encode())


def read(folder: Path) -> MultiVectors:
    """Open a finished folder; nothing but counts and ids is read."""
    manifest = json.loads((folder / "manifest.json").read_text())
    maps, counts = zip(*(_map(folder / shard["file"]) for shard in manifest["shards"]), strict=True)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts), dtype=np.int64)])
    ids = json.loads((folder / "ids.json").read_text())
    return MultiVectors(ids, Shards(maps), offsets, fingerprint=folder.name)


def _map(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a shard as a memory map, and its counts. The header is eight bytes of size, then JSON."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        begin, end = header["counts"]["data_offsets"]
        file.seek(8 + size + begin)
        counts = np.frombuffer(file.read(end - begin), np.int32)
    about = header["vectors"]
    start = 8 + size + about["data_offsets"][0]
    # "c": private and copy-on-write, so the array counts as writable for the compiled kernels; the file never changes
    return np.memmap(path, np.float16, "c", offset=start, shape=tuple(about["shape"])), counts
