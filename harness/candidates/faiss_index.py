"""FAISS indexes over the patches of a corpus: built once, cached, searched in memory, from disk or on a GPU.

An index on disk is two files: its inverted lists, whose name ends in their own xxh3, and the rest, which names them.
What a search reads is mapped, and the system's to give back.
"""

from __future__ import annotations

import contextlib
import functools
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from harness.engines.base import Map, serial
from harness.errors import OptionError, first_line
from harness.files import damaged, digest, lock, sealed, xxh3
from harness.packages import FAISS, of
from harness.progress import Stages
from harness.records import MultiVectors
from harness.silence import silent
from harness.vectors.shards import part, stream

FORMAT = 1  # raise it when the building of an index changes: cached ones are then made again
PROBES = 8  # inverted lists visited, a query token, at least; SciFact: recall 0.950 with 8, 0.944 with 32
ADD = 1 << 16  # patches widened and added at once
WRITE = 1 << 22  # bytes of an index written at once
EXACT_BELOW = 200_000  # patches; a flat index answers in seconds up to here
MOST = 4 << 30  # bytes of codes that ``auto`` keeps in memory
DISK = "disk:"  # before a kind or a factory string: its inverted lists lie on disk
PARTS, BLOCK = 64, 1 << 28  # an index is built of so many parts, or of more, of so many bytes of codes and ids each
SAMPLE = 64  # patches a list to train on, enough for k-means
MERGE = {"IndexFlat", "IndexFlatIP", "IndexScalarQuantizer", "IndexPQ", "IndexIVFFlat", "IndexIVFScalarQuantizer"}
MERGE |= {"IndexIVFPQ"}  # merged they are what one index would be; others cannot be, or (fast scan) break in FAISS 1.15


def resolve(asked: str, patches: int, dim: int) -> str:
    """The factory string, ``disk:`` before it or not, that a kind means for a corpus; any other text stays as it is.

    Kinds: ``flat``, ``ivf-sq`` (a byte a dimension), ``ivf-pq`` (a byte for two dimensions of 128), ``disk`` (ivf-sq on
    disk), ``disk:ivf-pq``; ``auto`` is the first of flat, ivf-sq, ivf-pq and disk:ivf-pq that is quick and small.
    """
    lists, codes = lists_of(patches), math.gcd(dim, 64)
    kinds = {"flat": "Flat", "ivf-sq": f"IVF{lists},SQ8", "ivf-pq": f"IVF{lists},PQ{codes}"}
    if asked == "auto":
        smaller = "ivf-pq" if patches * codes <= MOST else "disk:ivf-pq"
        asked = "flat" if patches <= EXACT_BELOW else "ivf-sq" if patches * dim <= MOST else smaller
    kind = "ivf-sq" if asked == "disk" else asked.removeprefix(DISK)
    return DISK * asked.startswith("disk") + kinds.get(kind, kind)


def lists_of(patches: int) -> int:
    """Inverted lists of a corpus: the square root of its patches, as a power of two."""
    return 1 << round(math.log2(math.sqrt(patches)))


def probes_of(lists: int) -> int:
    """Inverted lists visited, a query token."""
    return max(PROBES, lists // 128)


def fetch(spec: str, vectors: MultiVectors, stages: Stages, root: Path, engine: Map, wide: Map | None) -> Path:
    """The file of the index of all patches: from the cache under root, or trained and filled; sealed against damage.

    spec: a FAISS factory string, or one after ``disk:``; wide: where it is trained, if not here (see harness.engines).
    Raises OptionError if the spec is none, or cannot be trained on so few patches.
    """
    path = (root / "indexes" / f"{digest(FORMAT, spec, vectors.fingerprint, of(*FAISS))}.faiss").absolute()
    if not _whole(path, stages):
        with lock(path, "building this index"):
            if not _whole(path, stages):
                _build(path, spec, vectors, stages, engine, wide or serial)
    return path


def sampled(spec: str, vectors: MultiVectors) -> list[str]:
    """A note where an index is trained on fewer patches than there are, from the cache or not."""
    index, total = _empty(spec, vectors), vectors.vectors.shape[0]
    fewer = not index.is_trained and _wanted(index) < total
    return [f"index {spec} is trained on {_wanted(index):,} of {total:,} patches, evenly spaced"] if fewer else []


def opened(path: Path) -> Any:
    """The index in a file, mapped into memory, so that all processes of a machine share it; opened once a process."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _opened(path: Path, _: int) -> Any:
    import faiss

    on_disk = faiss.IO_FLAG_ONDISK_SAME_DIR | faiss.IO_FLAG_READ_ONLY if any(_lists(path)) else 0
    with silent():
        index = faiss.read_index(str(path), on_disk or getattr(faiss, "IO_FLAG_MMAP_IFC", 0))
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = probes_of(inverted.nlist)
    return index


def _lists(path: Path) -> Iterator[Path]:
    """The file of an index's inverted lists, where they lie on disk; of one that was never finished, any number."""
    return path.parent.glob(f"{path.stem}-*.lists")


def nearest(path: Path, tokens: np.ndarray, asked: int) -> tuple[np.ndarray, np.ndarray]:
    """Similarities and numbers of the patches nearest to each token, each (t, asked); −1 where there are fewer."""
    with _one_thread():
        similarities, numbers = opened(path).search(tokens, asked)
    return similarities, numbers


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
    with contextlib.suppress(RuntimeError):  # which FAISS raises on a file that is cut off, or has no lists beside it
        if not damaged(path) and all(xxh3(one) == one.stem.rpartition("-")[2] for one in _lists(path)):
            opened(path)
            return True
    stages.tell(f"{path} is damaged; the index is built again")
    path.unlink(missing_ok=True)
    return False


def _build(path: Path, spec: str, vectors: MultiVectors, stages: Stages, engine: Map, wide: Map) -> None:
    """Train; add the patches of some shards to an index of their own; merge these in the shards' order."""
    with stages("candidates: train"):
        [(_, (trained, most))] = wide(functools.partial(_trained, spec), [vectors])
    folder = path.with_suffix(".parts")
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir(parents=True)
    for stale in _lists(path):  # of an index that was damaged, or never finished
        stale.unlink()
    items = ((folder / f"{shards[0]:07d}.faiss", shards) for shards in _groups(vectors, most))
    with threadpool_limits(1, user_api="blas"):
        with stages("candidates: index", vectors.vectors.shape[0], "patches") as advance:
            parts = []
            for (one, _), patches in engine(functools.partial(_filled, trained, vectors), items):
                parts.append(one)
                advance(patches)
        with stages("candidates: merge"):
            merge = _merged_on_disk if spec.startswith(DISK) else _merged
            list(engine(functools.partial(merge, trained, sorted(parts)), [path]))
    shutil.rmtree(folder)


def _groups(vectors: MultiVectors, most: int) -> Iterator[list[int]]:
    """Numbers of consecutive shards that hold ``most`` patches together, or are the last."""
    group, held = [], 0
    for number, (_, block) in enumerate(stream(vectors)):
        group.append(number)
        held += len(block)
        if held >= most:
            yield group
            group, held = [], 0
    if group:
        yield group


def _inverted(index: Any) -> Any:
    """The inverted lists inside an index, behind whatever transforms it, or None."""
    import faiss

    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def _trained(spec: str, vectors: MultiVectors) -> tuple[bytes, int]:
    """A trained index without patches, as bytes, and how many patches a part of it takes: all if parts do not merge."""
    import faiss

    index = _empty(spec, vectors)
    if spec.startswith(DISK) and _inverted(index) is None:
        raise OptionError(f"index {spec!r} has no inverted lists to lie on disk; give disk, or disk:ivf-pq")
    if not index.is_trained:
        _train(index, spec, vectors)
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    most = total = vectors.vectors.shape[0]
    if type(inner).__name__ in MERGE:
        most = min(total // PARTS, BLOCK // (index.sa_code_size() + 8))
    return faiss.serialize_index(index).tobytes(), most


def _empty(spec: str, vectors: MultiVectors) -> Any:
    """An index of that kind, neither trained nor filled. Raises OptionError if there is no such kind."""
    import faiss

    try:
        return faiss.index_factory(vectors.dim, spec.removeprefix(DISK), faiss.METRIC_INNER_PRODUCT)
    except RuntimeError:
        raise OptionError(f"index {spec!r} is no FAISS factory string for {vectors.dim} dimensions") from None


def _wanted(index: Any) -> int:
    """Patches that an index is trained on, where there are so many."""
    return SAMPLE * (inverted.nlist if (inverted := _inverted(index)) is not None else 1024)


def _train(index: Any, spec: str, vectors: MultiVectors) -> None:
    """Train on an even sample of patches."""
    total = vectors.vectors.shape[0]
    picks = np.unique(np.linspace(0, total - 1, min(_wanted(index), total)).astype(np.int64))
    try:
        index.train(np.asarray(vectors.vectors[picks], np.float32))
    except RuntimeError as error:
        reason = first_line(error).rpartition("Error: ")[2]
        raise OptionError(f"index {spec!r} cannot be trained on {total:,} patches ({reason}); give another") from None


def _filled(trained: bytes, vectors: MultiVectors, item: tuple[Path, Sequence[int]]) -> int:
    """Write the index of some shards' patches; how many they are."""
    import faiss

    path, shards = item
    path.parent.stat()  # a machine that does not see the folder must not make one of its own
    index = faiss.deserialize_index(np.frombuffer(trained, np.uint8))
    with _one_thread():
        for block in (part(vectors, shard) for shard in shards):
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


def _merged_on_disk(trained: bytes, parts: Sequence[Path], path: Path) -> None:
    """Write the index of all parts, in their order, whose lists are a file beside it: no more than a list is held."""
    import faiss

    index = faiss.deserialize_index(np.frombuffer(trained, np.uint8))
    inverted, merged = _inverted(index), parts[0].with_name("merged.lists")
    filled = [faiss.read_index(str(one), faiss.IO_FLAG_MMAP) for one in parts]
    held = faiss.InvertedListsPtrVector()  # type: ignore[attr-defined]
    for one in filled:
        held.push_back(_inverted(one).invlists)
    lists = faiss.OnDiskInvertedLists(inverted.nlist, inverted.code_size, str(merged))
    with silent():
        inverted.ntotal = lists.merge_from_multiple(held.data(), held.size(), True)
    index.ntotal = inverted.ntotal
    inverted.replace_invlists(lists, True)
    lists.this.disown()  # type: ignore[attr-defined]  # the index owns them
    place = path.with_name(f"{path.stem}-{xxh3(merged)}.lists")
    merged.replace(place)
    faiss.downcast_InvertedLists(inverted.invlists).filename = str(place)  # type: ignore[attr-defined]
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
