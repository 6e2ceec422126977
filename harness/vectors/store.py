"""MultiVectors on disk: memory-mapped safetensors shards and a manifest, content-addressed, written atomically.

A folder ``vectors/<key>/`` holds ``00000.safetensors`` … (``vectors`` float16 (Σp, d), ``counts`` int32), ``ids.json``
and ``manifest.json``, which is written last. A folder without a manifest is unfinished; its shards are kept and used.
Every shard states its own xxh3, and the manifest that of all files: what is damaged is noticed before it is read.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xxhash
from safetensors.numpy import save

from harness.engines.base import Map, serial
from harness.errors import DataError, examples
from harness.files import cache_folder, checksum, digest, lock, write_atomically, xxh3
from harness.plugins import digest_of, outside
from harness.progress import Stages
from harness.records import Document, MultiVectors, Query, content
from harness.vectors.shards import Shard, Shards

FORMAT = 2
SHARD = 512  # items a shard: what an interrupted run can lose
SEAL = b'"xxh3":"'  # in a shard's header; sixteen hex digits follow: of the file with zeros in their place
ZEROS = b"0" * 16
HEAD = 256  # bytes from the beginning that hold it


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


def fetch(
    encoder: Encodes,
    items: Sequence[Document] | Sequence[Query],
    role: str,
    stages: Stages,
    root: Path | None = None,
    engine: Map | None = None,
) -> MultiVectors:
    """Vectors of the items under an encoder: from the cache, or encoded shard by shard and cached.

    role: ``document`` or ``query``. An encoder with a ``backbone`` projects the backbone's vectors, which are cached
    too. Of several processes one encodes; a damaged file is told and made again, and it alone. engine: where shards are
    encoded, if not here. Raises DataError naming items without a vector or with one that is not finite.
    """
    if in_order := getattr(encoder, "in_order", None):  # it may hold vectors that no file names
        in_order([item.id for item in items], role)
    key = digest(
        FORMAT, SHARD, encoder.fingerprint, encoder.recipe(role), *_code(type(encoder)), many=map(content, items)
    )
    folder, many = (root or cache_folder()) / "vectors" / key, {"query": "queries"}.get(role, f"{role}s")
    if not _whole(folder, many, stages):
        with lock(folder, f"encoding these {many}"):
            if not _whole(folder, many, stages):
                _make(folder, encoder, items, role, many, stages, root, engine)
    return read(folder)


@functools.cache
def _code(kind: type) -> list[str]:
    """A digest of an encoder's code, if another package brings it: an edited one encodes again."""
    return [digest_of(kind)] if outside(kind) else []


def _make(
    folder: Path,
    encoder: Encodes,
    items: Sequence[Document] | Sequence[Query],
    role: str,
    many: str,
    stages: Stages,
    root: Path | None,
    engine: Map | None,
) -> None:
    """Encode the shards that are not there or damaged; then the ids and the manifest, which name them all."""
    folder.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(folder)
    about, verb = _manifest(folder), "encode"
    if about is None and (folder / "manifest.json").exists():
        stages.tell(f"{folder / 'manifest.json'} is damaged; it is made again from the shards")
    paths = [folder / f"{number:05d}.safetensors" for number in range(-(-len(items) // SHARD))]
    sums = dict(zip(paths, _sums(paths, about), strict=True))
    if (backbone := getattr(encoder, "backbone", None)) and not all(sums.values()):
        encoder, verb = Projected(encoder, fetch(backbone, items, role, stages, root, engine)), "project"
    with stages(f"{verb} {many}", len(items), many) as advance:

        def missing() -> Iterator[tuple[Path, Sequence[Document | Query]]]:
            for number, path in enumerate(paths):
                some = items[number * SHARD : (number + 1) * SHARD]
                if sums[path]:
                    advance(len(some))
                    continue
                if path.exists():
                    stages.tell(f"{path} is damaged; these {len(some):,} {many} are encoded again")
                yield path.absolute(), some

        work = functools.partial(_encode, encoder, role, None if engine else advance)
        for (path, some), (found, patches) in (engine or serial)(work, missing()):
            sums[folder / path.name] = found
            if engine:
                advance(len(some), patches)
    _remove_unfinished(folder)
    names = {path.name: found for path, found in sums.items()}
    _finish(folder, [item.id for item in items], encoder.recipe(role), names)


def _encode(
    encoder: Encodes, role: str, advance: Callable[[int, int], None] | None, shard: tuple[Path, Sequence[Any]]
) -> tuple[str, int]:
    """Encode and write one shard: (its xxh3, its patches). It depends on no other shard, nor on where it is made."""
    path, items = shard
    path.parent.stat()  # a machine that does not see the folder must not make one of its own
    encoded: list[np.ndarray] = [np.empty((0, 0))] * len(items)
    for batch in encoder.encode(items, role):
        for at, vectors in batch:
            encoded[at] = vectors
        if advance:
            advance(len(batch), sum(len(vectors) for _, vectors in batch))
    sealed, found = _seal(_shard([item.id for item in items], encoded))
    write_atomically(path, sealed)
    return found, sum(map(len, encoded))


def _remove_unfinished(folder: Path) -> None:
    """Files that a process was writing when it was killed."""
    for unfinished in folder.glob(".*.part"):
        unfinished.unlink(missing_ok=True)


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
    vectors = np.ascontiguousarray(np.concatenate(encoded))  # safetensors writes memory as it lies, in whatever order
    return save({"vectors": vectors, "counts": counts}, {"xxh3": ZEROS.decode()})


def _seal(content: bytes) -> tuple[bytes, str]:
    """A shard that states its own xxh3, and the xxh3."""
    found, at = xxhash.xxh3_64_hexdigest(content), content.index(SEAL) + len(SEAL)
    return content[:at] + found.encode() + content[at + len(ZEROS) :], found


def _finish(folder: Path, ids: Sequence[str], recipe: dict[str, Any], sums: dict[str, str]) -> None:
    named = json.dumps(ids, ensure_ascii=False).encode()
    shards = [{"file": name, "xxh3": found} for name, found in sums.items()]
    manifest = {
        "format": FORMAT,
        "items": len(ids),
        "recipe": recipe,
        "ids": xxhash.xxh3_64_hexdigest(named),
        "shards": shards,
    }
    write_atomically(folder / "ids.json", named)
    write_atomically(folder / "manifest.json", json.dumps(manifest | {"digest": digest(manifest)}, indent=1).encode())


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest, or None if it is not there or not as it was written. Earlier ones hold sha256, and no digest."""
    try:
        found = json.loads((folder / "manifest.json").read_bytes())
        stated, earlier = found.pop("digest", None), all("sha256" in shard for shard in found["shards"])
        fine = earlier or (stated == digest(found) and found["ids"] == xxh3(folder / "ids.json"))
    except (FileNotFoundError, DataError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if fine else None


def _whole(folder: Path, many: str, stages: Stages) -> bool:
    """Whether a folder is finished and every byte in it is as it was written.

    Every start reads the vectors once for this. Of a core's time 1 GB takes 0.24 s, of which the reading is 0.18;
    with crc32 it is 0.7 s, with sha256 1.1 s, with blake2b 2 s.
    """
    if (about := _manifest(folder)) is None:
        return False
    with stages(f"check {many}"):
        return all(_sums([folder / shard["file"] for shard in about["shards"]], about))


def _sums(paths: Sequence[Path], manifest: dict[str, Any] | None) -> list[str]:
    """The xxh3 of each shard; empty where it is not there, or is not what it or the manifest says."""
    known = {shard["file"]: shard for shard in manifest["shards"]} if manifest else {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(lambda path: _sum(path, known.get(path.name, {})), paths))


def _sum(path: Path, known: dict[str, str]) -> str:
    if not path.exists():
        return ""
    stated, found = _stated(path)
    fine = (stated == found) if stated else _opens(path)  # earlier shards state nothing
    if "sha256" in known:
        fine = fine and checksum(path) == known["sha256"]
    return found if fine and known.get("xxh3", found) == found else ""


def _stated(path: Path) -> tuple[str, str]:
    """The xxh3 that a shard states, or nothing, and the one it has, where zeros stand for the one it states."""
    with path.open("rb") as file:
        before, mark, rest = file.read(HEAD).partition(SEAL)
    stated = rest[: len(ZEROS)] if mark else b""
    unstated = before + mark + ZEROS[: len(stated)] + rest[len(stated) :]
    return stated.decode("latin-1"), xxh3(path, unstated)


def _opens(path: Path) -> bool:
    try:
        Shard(path)
    except (DataError, ValueError):
        return False
    return True


def read(folder: Path) -> MultiVectors:
    """Open a finished folder; nothing but counts and ids is read."""
    manifest = json.loads((folder / "manifest.json").read_text())
    shards = [Shard(folder / shard["file"]) for shard in manifest["shards"]]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([shard.counts for shard in shards]), dtype=np.int64)])
    ids = json.loads((folder / "ids.json").read_text())
    return MultiVectors(ids, Shards(shards), offsets, fingerprint=folder.name)
