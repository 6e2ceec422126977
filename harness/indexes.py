"""FAISS indexes over the patches of a corpus: built once, cached, searched on the CPU or a GPU."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import OptionError, first_line
from harness.files import damaged, digest, lock, sealed
from harness.progress import Stages
from harness.records import MultiVectors
from harness.store import stream

FORMAT = 1  # raise it when the building of an index changes: cached ones are then made again
PROBES = 8  # inverted lists visited, a query token, at least; SciFact: recall 0.950 with 8, 0.944 with 32
ADD = 1 << 16  # patches widened and added at once
WRITE = 1 << 22  # bytes of an index written at once


def fetch(spec: str, vectors: MultiVectors, stages: Stages, root: Path) -> Any:
    """The index of all patches, from the cache under root or trained and filled batch by batch; sealed against damage.

    spec: a FAISS factory string. Raises OptionError if it is none, or cannot be trained on so few patches.
    """
    import faiss

    path = root / "indexes" / f"{digest(FORMAT, spec, vectors.fingerprint)}.faiss"
    if not vectors.fingerprint:
        index = _built(spec, vectors, stages)
    elif (index := _opened(path, stages)) is None:
        with lock(path, "building this index"):
            if (index := _opened(path, stages)) is None:
                index = _built(spec, vectors, stages)
                with sealed(path) as write:
                    faiss.write_index(index, faiss.PyCallbackIOWriter(write, WRITE))  # type: ignore[attr-defined]
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = max(PROBES, inverted.nlist // 128)
    return index


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
    with contextlib.suppress(RuntimeError):  # which FAISS raises on a file that is cut off
        if not damaged(path):
            return faiss.read_index(str(path))
    stages.tell(f"{path} is damaged; the index is built again")
    path.unlink(missing_ok=True)
    return None


def _built(spec: str, vectors: MultiVectors, stages: Stages):
    import faiss

    try:
        index = faiss.index_factory(vectors.dim, spec, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise OptionError(f"index {spec!r} is no FAISS factory string for {vectors.dim} dimensions") from None
    _train(index, spec, vectors, stages)
    with stages("candidates: index", vectors.vectors.shape[0], "patches") as advance:
        for _, block in stream(vectors):
            for start in range(0, len(block), ADD):
                part = np.asarray(block[start : start + ADD], np.float32)
                index.add(part)
                advance(len(part))
    return index


def _inverted(index):
    """The inverted lists inside an index, behind whatever transforms it, or None."""
    import faiss

    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def _train(index, spec: str, vectors: MultiVectors, stages: Stages) -> None:
    """Train on an even sample of patches; 64 a list is enough for k-means."""
    if index.is_trained:
        return
    with stages("candidates: train"):
        inverted = _inverted(index)
        wanted = 64 * (inverted.nlist if inverted is not None else 1024)
        total = vectors.vectors.shape[0]
        picks = np.unique(np.linspace(0, total - 1, min(wanted, total)).astype(np.int64))
        try:
            index.train(np.asarray(vectors.vectors[picks], np.float32))
        except RuntimeError as error:
            reason = first_line(error).rpartition("Error: ")[2]
            raise OptionError(
                f"index {spec!r} cannot be trained on {total:,} patches ({reason}); give another"
            ) from None
