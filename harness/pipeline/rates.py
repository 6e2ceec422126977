"""What this machine does a second, measured by running the program's own rooms on small work like the work planned."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from harness import candidates, corpora, degradation, encoders, indexes, metrics, store
from harness.aggregators import AGGREGATORS
from harness.config import PlanConfig
from harness.encoders.transformer import settings
from harness.engines.local import Local, cores
from harness.errors import OptionError
from harness.files import cache_folder, digest, write_atomically
from harness.lengths import make_arm
from harness.planning import Rates, Work
from harness.progress import Stages
from harness.records import Candidates, Dataset, Document, MultiVectors, Qrel, Query, SweepScores
from harness.runs import RunDirectory
from harness.scoring.sweep import sweep

FORMAT = 1  # raise it when what is measured changes
ENCODED = 16_384  # tokens that an encoder is timed on
INDEXED = 1 << 17  # patches that an index is timed on, at 128 dimensions
MULTIPLIED = 4e9  # multiplications that the scoring pass is timed on
LISTS = (1024, 16)  # of two small indexes: the one trains and assigns, the other scans
PACKAGES = ("torch", "faiss-cpu", "faiss-gpu-cu12", "numpy", "numba", "transformers")


def rates(config: PlanConfig, work: Work, stages: Stages, again: bool) -> Rates:
    """This machine's rates for such a work, measured once and kept under the cache; again: measure anew."""
    about = config.plain() | dict.fromkeys(("documents", "queries", "depth"), round(work.sharing, 1))
    kind = "".join(letter for letter in work.spec if not letter.isdigit())
    path = cache_folder() / "rates" / f"{digest(FORMAT, about, kind, *machine())}.json"
    here = {"memory": _memory(), "free": float(shutil.disk_usage(_there(cache_folder())).free)}
    if path.exists() and not again:
        return Rates(**(json.loads(path.read_text()) | here))
    with stages("measure rates"):
        found = _measure(config, work, here)
    write_atomically(path, json.dumps(asdict(found), indent=1).encode())
    return found


def machine() -> list[Any]:
    """What rates depend on besides the work: the processor, its cores, and the packages."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except ImportError:
            continue
    return [name or platform.processor(), cores(), os.environ.get("OMP_NUM_THREADS", ""), *found]


def _measure(config: PlanConfig, work: Work, here: Mapping[str, float]) -> Rates:
    with tempfile.TemporaryDirectory(prefix="rates-", dir=_there(cache_folder())) as folder:
        root = Path(folder)
        base = _resident()
        found: dict[str, Any] = dict(here) | {"cores": cores(), "base": base} | _store(work, root) | _texts(work, root)
        found |= {"encode": 0.0, "parameters": 0.0, "open": found["sum"] if work.reads == "ids" else 0.0, "model": 0.0}
        del found["sum"]
        if work.reads == "text":
            found |= _encoder(config, work)
        found |= _index(work, root) if work.candidates != "exact" else dict.fromkeys(
            ("train", "assign", "code", "asked", "scan"), 0.0)  # fmt: skip
        found["score"] = {arm: _score(config, work, arm) for arm in work.arms}
        return Rates(**found, **_rank(config, work, root), compare=_compare(config, work))  # type: ignore[arg-type]


class Drawn:
    """An encoder that hands out vectors drawn beforehand, so that a store's own time is measured."""

    fingerprint = "drawn"

    def __init__(self, count: int, patches: int, dims: int):
        drawn = np.random.default_rng(0).standard_normal((min(count, 512), patches, dims), np.float32)
        self.drawn = (drawn / np.linalg.norm(drawn, axis=2, keepdims=True)).astype(np.float16)

    def recipe(self, role: str) -> dict[str, Any]:
        return {"role": role, "shape": self.drawn.shape}

    def encode(self, items: Sequence[Any], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        yield [(at, self.drawn[at % len(self.drawn)]) for at in range(len(items))]


def _drawn(work: Work, root: Path, count: int, patches: int, role: str = "document") -> tuple[MultiVectors, Stages]:
    quiet = Stages(show=False)
    items: Any = [(Document if role == "document" else Query)(f"{role}{at}", "") for at in range(count)]
    return store.fetch(Drawn(count, patches, work.dims), items, role, quiet, root), quiet


def _store(work: Work, root: Path) -> dict[str, float]:
    """Writing, checking and reading vectors, some 64 MB of them; a checkpoint of vectors is opened by a sha256."""
    size = 1 << 26
    count = max(1, size // (2 * work.patches * work.dims))
    held, quiet = _drawn(work, root, count, work.patches)
    total = held.vectors.shape[0] * work.dims * 2.0
    wrote = quiet.seconds["encode documents"]
    _, quiet = _drawn(work, root, count, work.patches)
    files = list(root.rglob("*.safetensors"))
    for path in files:
        _forget(path)
    start = time.perf_counter()
    for path in files:
        path.read_bytes()
    read = time.perf_counter() - start
    start = time.perf_counter()
    for path in files:
        encoders.base.checksum(path)
    return {"write": wrote / total, "check": quiet.seconds["check documents"] / total, "read": read / total,
            "sum": (time.perf_counter() - start) / total}  # fmt: skip


def _forget(path: Path) -> None:
    """Ask the system to forget what it holds of a file, so that it is read from the disk."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _texts(work: Work, root: Path) -> dict[str, float]:
    """Loading a collection in BEIR's layout, seconds a document."""
    count, folder = 2000, root / "texts"
    (folder / "qrels").mkdir(parents=True)
    text = " ".join(["word"] * (work.patches if work.reads == "text" else 1))
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": f"d{at}", "title": "", "text": text}) for at in range(count))
    )
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "word"}))
    (folder / "qrels" / "test.tsv").write_text("q\td0\t1\n")
    start = time.perf_counter()
    corpora.load(str(folder), "test")
    return {"load": (time.perf_counter() - start) / count}


def _encoder(config: PlanConfig, work: Work) -> dict[str, float]:
    """Seconds and multiplications a patch, and the memory the model takes."""
    before = _resident()
    encoder = encoders.load(config.checkpoint, config.dtype, "cpu")
    if getattr(encoder, "reads", "text") != "text":
        raise OptionError(f"checkpoint {config.checkpoint!r} reads page images, which a plan cannot time;"
                          " encode some pages, and plan with embeddings:FOLDER")  # fmt: skip
    texts = [Document(str(at), " ".join(["word"] * work.patches)) for at in range(max(2, ENCODED // work.patches))]
    sum(len(batch) for batch in encoder.encode(texts[:2], "document"))
    start = time.perf_counter()
    made = sum(len(vectors) for batch in encoder.encode(texts, "document") for _, vectors in batch)
    took = time.perf_counter() - start
    about = settings(encoder.folder / "config.json")  # type: ignore[attr-defined]
    hidden, inner = about.get("hidden_size", 0), about.get("intermediate_size", 0)
    products = about.get("num_hidden_layers", 0) * (4 * hidden * hidden + 2 * hidden * inner)
    return {"encode": took / made, "parameters": float(products), "model": max(0.0, _resident() - before)}


def _index(work: Work, root: Path) -> dict[str, float]:
    """Training, filling and searching two small indexes of the kind: one of many lists, one of few.

    Flat indexes have no lists: they differ in size, and only their scans take time.
    """
    rows = max(1 << 15, INDEXED * 128 // max(128, work.dims))
    times = []
    for at, lists in enumerate(LISTS):
        count = (rows >> (2 * at if not work.lists else 0)) // 64
        held, asked = (_drawn(work, root / str(at), *size)[0] for size in ((count, 64), (16, work.tokens, "query")))
        spec = work.spec.replace(f"IVF{work.lists}", f"IVF{lists}") if work.spec else f"IVF{lists},SQ8"
        qrels = [Qrel(asked.ids[0], held.ids[0], 1)]
        judged = Dataset("drawn", "test", [], [Query(name, "") for name in asked.ids], qrels, "")
        quiet = Stages(show=False)
        candidates.SOURCES["faiss"](candidates.Search(judged, held, asked, 100, spec, quiet, root / str(at)))
        tokens, total = asked.vectors.shape[0], held.vectors.shape[0]
        times.append((lists, total, tokens, quiet.seconds))
    (many, total, tokens, first), (few, fewer, _, second) = times
    train, fill, search = (f"candidates: {name}" for name in ("train", "index", "search"))
    if not work.lists and work.spec:
        scan = max(1e-12, (first[search] - second[search]) / (tokens * (total - fewer)))
        return {"train": 0.0, "assign": 0.0, "code": first[fill] / total, "scan": scan,
                "asked": max(0.0, second[search] / tokens - fewer * scan)}  # fmt: skip
    sample = min(indexes.SAMPLE * many, total)
    product = 256 * work.dims * ("PQ" in work.spec)
    trained = 10 * sample * many * work.dims + 25 * min(sample, 65_536) * product
    assign = max(1e-13, (first[fill] - second[fill]) / (total * (many - few) * work.dims))
    scanned = [indexes.probes_of(lists) / lists * total for lists in (many, few)]
    coarse = [lists * work.dims * assign for lists in (many, few)]
    each = [one[search] / tokens - more for one, more in zip((first, second), coarse, strict=True)]
    scan = max(1e-12, (each[1] - each[0]) / (scanned[1] - scanned[0]))
    return {"train": first[train] / trained, "assign": assign, "scan": scan,
            "code": max(0.0, second[fill] / total - few * work.dims * assign),
            "asked": max(0.0, each[0] - scanned[0] * scan)}  # fmt: skip


def _score(config: PlanConfig, work: Work, arm: str) -> float:
    """Seconds a pair in the scoring pass of an arm, documents shared by as many queries as in the work."""
    random, asked = np.random.default_rng(0), int(min(work.queries, 256))
    pairs = MULTIPLIED / (work.tokens * work.length(arm) * work.dims)
    share = min(work.sharing, asked)
    count = int(min(max(pairs / share, 64), 20_000, (1 << 29) // (2 * work.patches * work.dims) + 64))
    wanted = random.random((asked, count)) < share / asked
    wanted[random.integers(0, asked, count), np.arange(count)] |= ~wanted.any(axis=0)
    rows = np.full((asked, int(wanted.sum(axis=1).max())), -1, np.int64)
    for at, mine in enumerate(wanted):
        rows[at, : mine.sum()] = np.flatnonzero(mine)
    documents, queries = (_vectors(*size, work.dims) for size in ((count, work.patches), (asked, work.tokens)))
    chosen = Candidates(queries.ids, documents.ids, rows, "drawn", 1.0)
    made = make_arm(arm, config.lengths, None, config.fill, 0)
    pools = [AGGREGATORS.make(pool) for pool in config.pool]
    took = []
    for _ in range(3):  # the first compiles
        start = time.perf_counter()
        sweep(documents, queries, chosen, made, config.lengths, pools, Local())
        took.append(time.perf_counter() - start)
    return min(took[1:]) / int(wanted.sum())


def _vectors(count: int, patches: int, dims: int) -> MultiVectors:
    drawn = Drawn(count, patches, dims).drawn
    flat = np.resize(drawn.reshape(-1, dims), (count * patches, dims))
    return MultiVectors([str(at) for at in range(count)], flat, np.arange(count + 1, dtype=np.int64) * patches)


def _rank(config: PlanConfig, work: Work, root: Path) -> dict[str, float]:
    """Ranking, writing and measuring one cell: seconds, bytes of memory and of disk a pair."""
    depth = min(work.depth, work.documents)
    asked = max(2, min(work.queries, 20_000 // depth))
    names = [f"query{at}" for at in range(asked)]
    rows = np.tile(np.arange(depth), (asked, 1))
    chosen = Candidates(names, [f"document{at}" for at in range(depth)], rows, "drawn", 1.0)
    values = np.random.default_rng(0).standard_normal((1, 1, asked, depth)).astype(np.float32)
    scores = SweepScores(make_arm("truncate", [1], None, "zero", 0), ["maxsim"], [1], chosen, values)
    qrels, run = [Qrel(name, "document0", 1) for name in names], RunDirectory(root / "run")
    path = run.ranking("truncate", "maxsim", 1)

    def cell() -> None:
        ranking = list(scores.run("maxsim", 1, depth))
        run.write_ranking(path, ranking)
        metrics.per_query(config.measures, qrels, ranking)

    start = time.perf_counter()
    cell()
    took = time.perf_counter() - start
    tracemalloc.start()
    cell()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    pairs = asked * depth
    return {"rank": took / pairs, "line": peak / pairs, "kept": path.stat().st_size / pairs}


def _compare(config: PlanConfig, work: Work) -> float:
    """Seconds a query of intervals and tests over all cells."""
    import pandas as pd

    asked = max(2, min(work.queries, 200))
    keys = [("drawn", "drawn", arm, pool, length, measure) for arm in config.arms for pool in config.pool
            for length in config.lengths for measure in config.measures]  # fmt: skip
    random, names = np.random.default_rng(0), ["dataset", "checkpoint", "arm", "pool", "length", "measure"]
    table = pd.DataFrame([(*key, str(at)) for key in keys for at in range(asked)], columns=[*names, "query_id"])
    table = table.astype({"length": "Int64"}).assign(value=random.random(len(table)))
    start = time.perf_counter()
    degradation.summarise(table, random)
    degradation.compare(table, list(config.pool))
    return (time.perf_counter() - start) / asked


def _resident() -> float:
    """Bytes this process has allocated; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0.0)


def _memory() -> float:
    """Bytes of memory of this machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else 0.0


def _there(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
