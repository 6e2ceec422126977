"""FAISS indexes over the patches of a corpus: built once, cached, searched on the CPU or a GPU."""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from harness.errors import OptionError, first_line
from harness.files import damaged, digest, lock, sealed
from harness.progress import Stages
from harness.records import MultiVectors
from harness.shards import part, stream
from harness.work import Map, serial

FORMAT = 1  # raise it when the building of an index changes: cached ones are then made again
PROBES = 8  # inverted lists visited, a query token, at least; SciFact: recall 0.950 with 8, 0.944 with 32
ADD = 1 << 16  # patches widened and added at once
WRITE = 1 << 22  # bytes of an index written at once
MERGE = {"IndexFlat", "IndexFlatIP", "IndexScalarQuantizer", "IndexPQ", "IndexIVFFlat", "IndexIVFScalarQuantizer"}
MERGE |= {"IndexIVFPQ"}  # merged they are what one index would be; others cannot be, or (fast scan) break in FAISS 1.15


def fetch(spec: str, vectors: MultiVectors, stages: Stages, root: Path, engine: Map, wide: Map | None) -> Path:
    """The file of the index of all patches: from the cache under root, or trained and filled; sealed against damage.

    spec: a FAISS factory string. Raises OptionError if it is none, or cannot be trained on so few patches.
    wide: where it is trained, if not here (see harness.engines.base). The index is never opened here.
    """
    path = (root / "indexes" / f"{digest(FORMAT, spec, vectors.fingerprint)}.faiss").absolute()
    if not _whole(path, stages):
        with lock(path, "building this index"):
            if not _whole(path, stages):
                _build(path, spec, vectors, stages, engine, wide or serial)
    return path


def opened(path: Path) -> Any:
    """The index in a file, mapped into memory, so that all processes of a machine share it; opened once a process."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, _: int) -> Any:
    import faiss

    index = faiss.read_index(str(path), getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = max(PROBES, inverted.nlist // 128)
    return index


def nearest(path: Path, tokens: np.ndarray, asked: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and numbers of the patches nearest to each token, each (t, asked); −1 where there are fewer."""
    with _one_thread():
        return opened(path).search(tokens, asked)


def placed(path: Path, spec: str, device: str) -> tuple[Any, list[str]]:
    """The index on a device; None, with a note, where FAISS has no GPU or none for its kind."""
    import faiss

    name, _, number = device.partition(":")
    if name != "cuda":
        return None, []
    if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() <= int(number or 0):
        return None, ["this FAISS has no GPU: candidates are searched on the CPU"]
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), int(number or 0), opened(path)), []
    except RuntimeError:
        return None, [f"index {spec} is not for a GPU, or too large: it is searched on the CPU"]


def _whole(path: Path, stages: Stages) -> bool:
    """Whether there is a cached index and it is as it was written; a damaged one is removed."""
    if not path.exists():
        return False
    with contextlib.suppress(RuntimeError):  # which FAISS raises on a file that is cut off
        if not damaged(path):
            opened(path)
            return True
    stages.tell(f"{path} is damaged; the index is built again")
    path.unlink(missing_ok=True)
    return False


def _build(path: Path, spec: str, vectors: MultiVectors, stages: Stages, engine: Map, wide: Map) -> None:
    """Train; add the patches of each shard to an index of their own; merge these in the shards' order."""
    with stages("candidates: train"):
        [(_, (trained, merges))] = wide(functools.partial(_trained, spec), [vectors])
    folder = path.with_suffix(".parts")
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(parents=True)
    shards = ((folder / f"{number:05d}.faiss", number) for number, _ in enumerate(stream(vectors)))
    items = shards if merges else [(folder / "whole.faiss", None)]
    with threadpool_limits(1, user_api="blas"):
        with stages("candidates: index", vectors.vectors.shape[0], "patches") as advance:
            parts = []
            for (one, _), patches in engine(functools.partial(_filled, trained, vectors), items):
                parts.append(one)
                advance(patches)
        with stages("candidates: merge"):
            list(engine(functools.partial(_merged, trained, sorted(parts)), [path]))
    shutil.rmtree(folder)


def _inverted(index):
    """The inverted lists inside an index, behind whatever transforms it, or None."""
    import faiss

    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def _trained(spec: str, vectors: MultiVectors) -> tuple[bytes, bool]:
    """A trained index without patches, as bytes, and whether filled ones merge into what one alone would be."""
    import faiss

    try:
        index = faiss.index_factory(vectors.dim, spec, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise OptionError(f"index {spec!r} is no FAISS factory string for {vectors.dim} dimensions") from None
    if not index.is_trained:
        _train(index, spec, vectors)
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    return faiss.serialize_index(index).tobytes(), type(inner).__name__ in MERGE


def _train(index: Any, spec: str, vectors: MultiVectors) -> None:
    """Train on an even sample of patches; 64 a list is enough for k-means."""
    inverted = _inverted(index)
    wanted = 64 * (inverted.nlist if inverted is not None else 1024)
    total = vectors.vectors.shape[0]
    picks = np.unique(np.linspace(0, total - 1, min(wanted, total)).astype(np.int64))
    try:
        index.train(np.asarray(vectors.vectors[picks], np.float32))
    except RuntimeError as error:
        reason = first_line(error).rpartition("Error: ")[2]
        raise OptionError(f"index {spec!r} cannot be trained on {total:,} patches ({reason}); give another") from None


def _filled(trained: bytes, vectors: MultiVectors, item: tuple[Path, int | None]) -> int:
    """Write the index of one shard's patches, or of all; how many they are."""
    import faiss

    path, number = item
    path.parent.stat()  # a machine that does not see the folder must not make one of its own
    index = faiss.deserialize_index(np.frombuffer(trained, np.uint8))
    blocks = (block for _, block in stream(vectors)) if number is None else [part(vectors, number)]
    with _one_thread():
        for block in blocks:
            for start in range(0, len(block), ADD):
                index.add(np.asarray(block[start : start + ADD], np.float32))
    _write(index, path)
    return index.ntotal


def _merged(trained: bytes, parts: Sequence[Path], path: Path) -> None:
    """Write the index of all parts, in their order."""
    import faiss

    index = faiss.deserialize_index(np.frombuffer(trained, np.uint8))
    inverted = _inverted(index) is not None
    if len(parts) == 1:
        parts[0].replace(path)
        return
    for one in parts:
        index.merge_from(faiss.read_index(str(one)), index.ntotal if inverted else 0)
    _write(index, path)


def _write(index: Any, path: Path) -> None:
    import faiss

    with sealed(path) as write:
        faiss.write_index(index, faiss.PyCallbackIOWriter(write, WRITE))  # type: ignore[attr-defined]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """FAISS works on the calling thread alone: engines have a task a core, and what it finds depends on no number."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
