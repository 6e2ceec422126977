"""FAISS indexes over the patches of a corpus: built once, cached, searched in memory, from disk or on a GPU.

An index on disk is two files: its inverted lists, whose name ends in their own xxh3, and the rest, which names them. It
is built a block of BLOCK bytes at a time; what a search reads is mapped, and the system's to give back.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import OptionError, first_line
from harness.files import damaged, digest, lock, sealed, xxh3
from harness.progress import Advance, Stages
from harness.records import MultiVectors
from harness.store import stream

FORMAT = 1  # raise it when the building of an index changes: cached ones are then made again
PROBES = 8  # inverted lists visited, a query token, at least; SciFact: recall 0.950 with 8, 0.944 with 32
ADD = 1 << 16  # patches widened and added at once
WRITE = 1 << 22  # bytes of an index written at once
EXACT_BELOW = 200_000  # patches; a flat index answers in seconds up to here
MOST = 4 << 30  # bytes of codes that ``auto`` keeps in memory
DISK = "disk:"  # before a kind or a factory string: its inverted lists lie on disk
BLOCK = 1 << 28  # bytes of codes and ids held at once while an index on disk is built
SAMPLE = 64  # patches a list to train on, enough for k-means


def resolve(asked: str, patches: int, dim: int) -> str:
    """The factory string, ``disk:`` before it or not, that a kind means for a corpus; any other text stays as it is.

    Kinds: ``flat``, ``ivf-sq`` (a byte a dimension), ``ivf-pq`` (a byte for two dimensions of 128), ``disk`` (ivf-sq on
    disk), ``disk:ivf-pq``; ``auto`` is the first of flat, ivf-sq, ivf-pq and disk:ivf-pq that is quick and small.
    """
    lists, codes = lists_of(patches), math.gcd(dim, 64)
    kinds = {"flat": "Flat", "ivf-sq": f"IVF{lists},SQ8", "ivf-pq": f"IVF{lists},PQ{codes}"}
    if asked == "auto":
        small, smaller = patches * dim <= MOST, patches * codes <= MOST
        asked = "flat" if patches <= EXACT_BELOW else "ivf-sq" if small else "ivf-pq" if smaller else "disk:ivf-pq"
    kind = "ivf-sq" if asked == "disk" else asked.removeprefix(DISK)
    return DISK * asked.startswith("disk") + kinds.get(kind, kind)


def lists_of(patches: int) -> int:
    """Inverted lists of a corpus: the square root of its patches, as a power of two."""
    return 1 << round(math.log2(math.sqrt(patches)))


def probes_of(lists: int) -> int:
    """Inverted lists visited, a query token."""
    return max(PROBES, lists // 128)


def fetch(spec: str, vectors: MultiVectors, stages: Stages, root: Path) -> Any:
    """The index of all patches, from the cache under root or trained and filled batch by batch; sealed against damage.

    spec: a FAISS factory string, or one after ``disk:``; vectors without a fingerprint have no place there, and their
    index is in memory. Raises OptionError if it is none, or cannot be trained on so few patches.
    """
    path = root / "indexes" / f"{digest(FORMAT, spec, vectors.fingerprint)}.faiss"
    if not vectors.fingerprint:
        index = _built(spec, vectors, stages)
    elif (index := _opened(path, stages)) is None:
        with lock(path, "building this index"):
            if (index := _opened(path, stages)) is None:
                index = _built(spec, vectors, stages, path)
                _write(index, path)
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = probes_of(inverted.nlist)
    return index


def _write(index: Any, path: Path) -> None:
    import faiss

    with sealed(path) as write:
        faiss.write_index(index, faiss.PyCallbackIOWriter(write, WRITE))  # type: ignore[attr-defined]


def placed(index: Any, spec: str, device: str) -> tuple[Any, list[str]]:
    """The index on a device, or as it is, with a note, where FAISS has no GPU or none for its kind."""
    import faiss

    name, _, number = device.partition(":")
    if name != "cuda":
        return index, []
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() <= int(number or 0):
        return index, ["this FAISS has no GPU: candidates are searched on the CPU"]
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), int(number or 0), index), []
    except RuntimeError:
        return index, [f"index {spec} is not for a GPU, or too large: it is searched on the CPU"]


def _opened(path: Path, stages: Stages):
    """A cached index, or None if it is not there or damaged; a damaged one is removed."""
    import faiss

    if not path.exists():
        return None
    with contextlib.suppress(RuntimeError):  # which FAISS raises on a file that is cut off, or has no lists beside it
        if not damaged(path):
            with silent():
                index = faiss.read_index(str(path), faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY)
            place = _place(index)
            if place is None or xxh3(place) == place.stem.rpartition("-")[2]:
                return index
    stages.tell(f"{path} is damaged; the index is built again")
    path.unlink(missing_ok=True)
    return None


def _place(index) -> Path | None:
    """The file of an index's inverted lists, if they lie on disk."""
    import faiss

    inverted = _inverted(index)
    lists = inverted and faiss.downcast_InvertedLists(inverted.invlists)
    return Path(lists.filename) if isinstance(lists, faiss.OnDiskInvertedLists) else None


def _built(spec: str, vectors: MultiVectors, stages: Stages, path: Path | None = None):
    """The index; one on disk has written its lists beside the path where it will be."""
    import faiss

    factory = spec.removeprefix(DISK)
    try:
        index = faiss.index_factory(vectors.dim, factory, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise OptionError(f"index {spec!r} is no FAISS factory string for {vectors.dim} dimensions") from None
    place = path if spec.startswith(DISK) else None
    if place and _inverted(index) is None:
        raise OptionError(f"index {spec!r} has no inverted lists to lie on disk; give disk, or disk:ivf-pq")
    _train(index, spec, vectors, stages)
    with stages("candidates: index", vectors.vectors.shape[0], "patches") as advance:
        if place:
            return _on_disk(index, vectors, advance, place)
        for _ in _added(index, vectors, advance):
            pass
    return index


def _added(index, vectors: MultiVectors, advance: Advance) -> Iterator[None]:
    """Add all patches; yields after each part."""
    for _, block in stream(vectors):
        for start in range(0, len(block), ADD):
            part = np.asarray(block[start : start + ADD], np.float32)
            index.add(part)
            advance(len(part))
            yield


def _on_disk(index, vectors: MultiVectors, advance: Advance, path: Path):
    """Fill a trained index block by block, each written and emptied; then one file holds the lists of all blocks."""
    import faiss

    inverted = _inverted(index)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f"{path.stem}-*.lists"):  # of an index that was damaged, or never finished
        stale.unlink()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        names: list[str] = []

        def put() -> None:
            names.append(str(Path(folder) / f"{len(names)}.faiss"))
            faiss.write_index(index, names[-1])
            index.reset()

        for _ in _added(index, vectors, advance):
            if index.ntotal * (inverted.code_size + 8) >= BLOCK:
                put()
        if index.ntotal:
            put()
        merged = Path(folder) / "merged.lists"
        _merge(index, inverted, names, merged)
        place = path.with_name(f"{path.stem}-{xxh3(merged)}.lists")
        merged.replace(place)
    faiss.downcast_InvertedLists(inverted.invlists).filename = str(place)  # type: ignore[attr-defined]
    return index


def _merge(index, inverted, names: Sequence[str], place: Path) -> None:
    """Give an empty index the lists of the indexes in some files, ids going on from one to the next."""
    import faiss

    parts = [faiss.read_index(name, faiss.IO_FLAG_MMAP) for name in names]
    held = faiss.InvertedListsPtrVector()  # type: ignore[attr-defined]
    for part in parts:
        held.push_back(_inverted(part).invlists)
    lists = faiss.OnDiskInvertedLists(inverted.nlist, inverted.code_size, str(place))
    with silent():
        inverted.ntotal = lists.merge_from_multiple(held.data(), held.size(), True)
    index.ntotal = inverted.ntotal
    inverted.replace_invlists(lists, True)
    lists.this.disown()  # type: ignore[attr-defined]  # the index owns them


@contextlib.contextmanager
def silent(output: int = 1) -> Iterator[None]:
    """Keep what FAISS's C++ prints off standard output, or error (2), which are the command's own."""
    kept, nowhere = os.dup(output), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, output)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, output)
        os.close(kept)
        os.close(nowhere)


def _inverted(index):
    """The inverted lists inside an index, behind whatever transforms it, or None."""
    import faiss

    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def _train(index, spec: str, vectors: MultiVectors, stages: Stages) -> None:
    """Train on an even sample of patches."""
    if index.is_trained:
        return
    with stages("candidates: train"):
        inverted = _inverted(index)
        wanted = SAMPLE * (inverted.nlist if inverted is not None else 1024)
        total = vectors.vectors.shape[0]
        picks = np.unique(np.linspace(0, total - 1, min(wanted, total)).astype(np.int64))
        try:
            index.train(np.asarray(vectors.vectors[picks], np.float32))
        except RuntimeError as error:
            reason = first_line(error).rpartition("Error: ")[2]
            raise OptionError(
                f"index {spec!r} cannot be trained on {total:,} patches ({reason}); give another"
            ) from None
