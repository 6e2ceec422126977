"""What this machine does a second, measured by running the program's own rooms on small work like the work planned."""

from __future__ import annotations

import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from harness import candidates, corpora, encoders
from harness.aggregators import AGGREGATORS
from harness.candidates import faiss_index
from harness.encoders.base import EMBEDDINGS
from harness.encoders.settings import settings
from harness.engines.local import Local, cores
from harness.errors import OptionError
from harness.files import cache_folder
from harness.planning.estimate import CODE_ITERATIONS, CODES, ITERATIONS, Rates, Work
from harness.progress import Stages
from harness.records import Candidates, Dataset, Document, MultiVectors, Qrel, Query, SweepScores
from harness.runs import RunDirectory
from harness.scoring.sweep import sweep
from harness.silence import silent
from harness.statistics import measures, tables
from harness.vectors import store
from harness.vectors.arms import make_arm

STORED = 1 << 26  # bytes of vectors that are written and read
ENCODED = 8192  # tokens that an encoder is timed on
INDEXED = 1 << 16  # patches that an index is timed on, at 128 dimensions
MULTIPLIED = 4e9  # multiplications that the scoring pass is timed on
MANY, FEW = 1024, 16  # lists of small indexes: the one trains and assigns, the other scans
ASKED = 16  # queries that a search is timed on


class Asked(Protocol):
    """What of a question decides the rates, as ``harness plan`` is asked it."""

    @property
    def checkpoint(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def pool(self) -> Sequence[str]: ...
    @property
    def lengths(self) -> Sequence[int]: ...
    @property
    def arms(self) -> Sequence[str]: ...
    @property
    def fill(self) -> str: ...
    @property
    def measures(self) -> Sequence[str]: ...


def measure(config: Asked, work: Work, here: Mapping[str, float]) -> Rates:
    """The rates of this machine for such a work; here: its memory and free disk. A quarter of a minute."""
    (cache_folder() / "rates").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".measured-", dir=cache_folder() / "rates") as folder:
        root = Path(folder)
        measured: dict[str, Any] = {**here, "cores": cores(), "program_bytes": _resident(), **_store(work, root)}
        measured |= _texts(work, root) | {
            "encode_patch": 0.0,
            "encoder_parameters": 0.0,
            "encoder_bytes": 0.0,
            "open_byte": 0.0,
        }
        measured |= _encoder(config, work) if work.reads == "text" else _given(work, root)
        none = dict.fromkeys(
            ("assign_multiplication", "quantise_multiplication", "code_patch", "search_token", "scan_code"), 0.0
        )
        measured |= _index(work, root) if work.candidates != "exact" else none
        measured |= _rank(config, work, root) | {"compare_query": _compare(config, work)}
        return Rates(**measured, score_pair={arm: _score(config, work, arm, root) for arm in work.arms})


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


def _stored(work: Work) -> int:
    """Documents in the store that is written."""
    return max(64, STORED // (2 * work.patches * work.dims))


def _store(work: Work, root: Path) -> dict[str, float]:
    """Writing, checking and reading vectors."""
    count = _stored(work)
    held, quiet = _drawn(work, root, count, work.patches)
    total = held.vectors.shape[0] * work.dims * 2.0
    wrote = quiet.core_seconds["encode documents"]
    _, quiet = _drawn(work, root, count, work.patches)
    files = list(root.rglob("*.safetensors"))
    for path in files:
        _forget(path)
    start = time.perf_counter()
    for path in files:
        path.read_bytes()
    read = time.perf_counter() - start
    return {"write_byte": wrote / total, "read_byte": read / total}


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
    start = time.process_time()
    corpora.load(str(folder), "test")
    return {"load_document": (time.process_time() - start) / count}


def _given(work: Work, root: Path) -> dict[str, float]:
    """A checkpoint of vectors: seconds a byte to open it, and seconds a patch to read it."""
    folder, held = root / "given", _vectors(max(2, STORED // (4 * work.patches * work.dims)), work.patches, work.dims)
    folder.mkdir()
    parts = {"vectors": held.vectors, "counts": held.counts}
    for many in ("documents", "queries"):
        save_file(parts, folder / f"{many}.safetensors", {"ids": json.dumps(held.ids)})
    start = time.process_time()
    encoder = encoders.load(f"{EMBEDDINGS}{folder}", "float32", "cpu")
    opened = time.process_time() - start
    start = time.process_time()
    made = sum(
        len(one) for batch in encoder.encode([Document(name, "") for name in held.ids], "document") for _, one in batch
    )
    took = time.process_time() - start
    return {"open_byte": opened / (4 * held.vectors.shape[0] * work.dims), "encode_patch": took / made}


def _encoder(config: Asked, work: Work) -> dict[str, float]:
    """Seconds and multiplications a patch, and the memory the model takes."""
    before = _resident()
    encoder = encoders.load(config.checkpoint, config.dtype, "cpu")
    if getattr(encoder, "reads", "text") != "text":
        raise OptionError(
            f"checkpoint {config.checkpoint!r} reads page images, which a plan cannot time;"
            " encode some pages, and plan with embeddings:FOLDER"
        )
    texts = [Document(str(at), " ".join(["word"] * work.patches)) for at in range(max(2, ENCODED // work.patches))]
    sum(len(batch) for batch in encoder.encode(texts[:2], "document"))
    start = time.process_time()
    made = sum(len(vectors) for batch in encoder.encode(texts, "document") for _, vectors in batch)
    took = time.process_time() - start
    about = settings(encoder.folder / "config.json")  # type: ignore[attr-defined]
    hidden, inner = about.get("hidden_size", 0), about.get("intermediate_size", 0)
    products = about.get("num_hidden_layers", 0) * (4 * hidden * hidden + 2 * hidden * inner)
    return {
        "encode_patch": took / made,
        "encoder_parameters": float(products),
        "encoder_bytes": max(0.0, _resident() - before),
    }


def _index(work: Work, root: Path) -> dict[str, float]:
    """Training, filling and searching small indexes: of bytes with many lists and with few, and of the kind itself."""
    rows = max(1 << 15, INDEXED * 128 // max(128, work.dims))
    tokens = ASKED * work.tokens
    kind = work.spec.replace(f"IVF{work.lists}", f"IVF{FEW}")
    if work.spec and not work.lists:
        (large, small) = (_searched(work, root / str(size), work.spec, size) for size in (rows, rows // 4))
        scan = max(1e-12, (large["search"] - small["search"]) / (tokens * (rows - rows // 4)))
        return {
            "assign_multiplication": 0.0,
            "quantise_multiplication": 0.0,
            "code_patch": large["index"] / rows,
            "scan_code": scan,
            "search_token": max(0.0, small["search"] / tokens - rows // 4 * scan),
        }
    many, few = (_searched(work, root / str(lists), f"IVF{lists},SQ8", rows) for lists in (MANY, FEW))
    with threadpool_limits(1), silent(2):  # many threads wait for each other in work this small
        own = few if kind in ("", f"IVF{FEW},SQ8") else _searched(work, root / "own", kind, rows)
    products = rows * (MANY - FEW) + ITERATIONS * min(rows, faiss_index.SAMPLE * MANY) * MANY
    assign = max(1e-13, (many["train"] + many["index"] - few["index"]) / (products * work.dims))
    sample = faiss_index.SAMPLE * FEW
    means, codes = ITERATIONS * sample * FEW * work.dims, CODE_ITERATIONS * sample * CODES * work.dims
    seen = {lists: faiss_index.probes_of(lists) / lists * rows for lists in (MANY, FEW)}
    each = {lists: one["search"] / tokens - lists * work.dims * assign for lists, one in ((MANY, many), (FEW, few))}
    asked = max(0.0, each[MANY] - seen[MANY] * max(0.0, each[FEW] - each[MANY]) / (seen[FEW] - seen[MANY]))
    scan = max(1e-12, (own["search"] / tokens - FEW * work.dims * assign - asked) / seen[FEW])
    return {
        "assign_multiplication": assign,
        "search_token": asked,
        "scan_code": scan,
        "quantise_multiplication": max(0.0, own["train"] - means * assign) / codes if "PQ" in kind else 0.0,
        "code_patch": max(0.0, own["index"] / rows - FEW * work.dims * assign),
    }


def _searched(work: Work, root: Path, spec: str, rows: int) -> dict[str, float]:
    """Core seconds of training, filling and searching an index of drawn patches."""
    held, asked = (_drawn(work, root, *size)[0] for size in ((rows // 64, 64), (ASKED, work.tokens, "query")))
    qrels = [Qrel(asked.ids[0], held.ids[0], 1)]
    judged, quiet = Dataset("drawn", "test", [], [Query(name, "") for name in asked.ids], qrels, ""), Stages(show=False)
    candidates.SOURCES["faiss"](candidates.Search(judged, held, asked, 100, spec, quiet, root))
    return {name: quiet.core_seconds.get(f"candidates: {name}", 0.0) for name in ("train", "index", "search")}


def _score(config: Asked, work: Work, arm: str, root: Path) -> float:
    """Seconds a pair in the scoring pass of an arm, documents shared by as many queries as in the work."""
    random, asked = np.random.default_rng(0), int(min(work.queries, 256))
    pairs = MULTIPLIED / (work.tokens * work.length(arm) * work.dims)
    share = min(work.sharing, asked)
    documents, _ = _drawn(work, root, _stored(work), work.patches)
    count = int(min(max(pairs / share, 64), len(documents)))
    wanted = random.random((asked, count)) < share / asked
    wanted[random.integers(0, asked, count), np.arange(count)] |= ~wanted.any(axis=0)
    rows = np.full((asked, int(wanted.sum(axis=1).max())), -1, np.int64)
    for at, mine in enumerate(wanted):
        rows[at, : mine.sum()] = np.flatnonzero(mine)
    queries = _vectors(asked, work.tokens, work.dims)
    chosen = Candidates(queries.ids, documents.ids, rows, "drawn", 1.0)
    made = make_arm(arm, config.lengths, None, config.fill, 0)
    pools = [AGGREGATORS.make(pool) for pool in config.pool]
    took = []
    for _ in range(3):  # the first compiles
        start = time.process_time()
        sweep(documents, queries, chosen, made, config.lengths, pools, Local())
        took.append(time.process_time() - start)
    return min(took[1:]) / int(wanted.sum())


def _vectors(count: int, patches: int, dims: int) -> MultiVectors:
    drawn = Drawn(count, patches, dims).drawn
    flat = np.resize(drawn.reshape(-1, dims), (count * patches, dims))
    return MultiVectors([str(at) for at in range(count)], flat, np.arange(count + 1, dtype=np.int64) * patches)


def _rank(config: Asked, work: Work, root: Path) -> dict[str, float]:
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
        measures.per_query(config.measures, qrels, ranking)

    tracemalloc.start()
    cell()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start = time.process_time()
    cell()
    took = time.process_time() - start
    pairs = asked * depth
    return {
        "rank_pair": took / pairs,
        "ranked_pair_memory": peak / pairs,
        "ranked_pair_disk": path.stat().st_size / pairs,
    }


def _compare(config: Asked, work: Work) -> float:
    """Seconds a query of intervals and tests over all cells."""
    import pandas as pd

    asked = max(2, min(work.queries, 200))
    keys = [
        ("drawn", "drawn", arm, pool, length, measure)
        for arm in config.arms
        for pool in config.pool
        for length in config.lengths
        for measure in config.measures
    ]
    random, names = np.random.default_rng(0), ["dataset", "checkpoint", "arm", "pool", "length", "measure"]
    table = pd.DataFrame([(*key, str(at)) for key in keys for at in range(asked)], columns=[*names, "query_id"])
    table = table.astype({"length": "Int64"}).assign(value=random.random(len(table)))
    start = time.process_time()
    tables.summarise(table, random)
    tables.compare(table, list(config.pool))
    return (time.process_time() - start) / asked


def _resident() -> float:
    """Bytes this process has allocated; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0.0)
