"""The documents reranked for each query: from FAISS over patches, from pooled vectors, from BM25, or all of them.

Chosen once, on full-length documents, and the same for every cell of a sweep; cached beside the vectors.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from harness import indexes, packages
from harness.errors import DataError
from harness.files import damaged, digest, lock, sealed
from harness.progress import Stages
from harness.records import Candidates, Dataset, MultiVectors
from harness.registry import Registry
from harness.shards import part, stream
from harness.work import Map, serial

FORMAT = 1  # raise it when a source or the building of an index changes: cached ones are then made again
PER_TOKEN = 256  # patches asked for, a query token
SCORES = 1 << 24  # similarities of pooled vectors held at once
BLOCK = 8  # queries a task
SEARCHERS = {"faiss": packages.FAISS, "bm25": ("bm25s", "pystemmer")}  # packages that find the candidates

Near = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
"""A search: tokens (t, d) and how many patches are asked for → their similarities and numbers, each (t, asked)."""


@dataclass(frozen=True)
class Search:
    """What a candidate source may look at; ``depth`` is how many documents a query it should return at most.

    device: where FAISS searches if it can; notes: takes what the run must say of the search; engine, wide: where shards
    are indexed and queries searched, and where an index is trained (see harness.engines.base).
    """

    dataset: Dataset
    vectors: MultiVectors
    queries: MultiVectors
    depth: int
    index: str
    stages: Stages
    root: Path
    device: str = "cpu"
    notes: list[str] = field(default_factory=list)
    engine: Map = serial
    wide: Map | None = None


SOURCES: Registry[Callable[[Search], np.ndarray]] = Registry("candidates")


def find(source: str, search: Search) -> Candidates:
    """Candidates of every query of the dataset, none of them a document that the dataset excludes for it."""
    of_text = source == "bm25"
    names = [search.dataset.fingerprint] if of_text else [search.vectors.fingerprint, search.queries.fingerprint]
    spec = index_spec(search) if source == "faiss" else ""
    code = [SOURCES.origin(source), packages.of("numpy", *SEARCHERS.get(source, ()))]
    key = digest(FORMAT, source, spec, search.depth, PER_TOKEN, indexes.PROBES, *names, code)
    path = search.root / "candidates" / f"{key}.npy"
    cached = source != "exact" and all(names)
    rows = _cached(path, source, search) if cached else SOURCES[source](search)
    rows = _without_excluded(rows, search)
    if source != "exact":
        rows = rows[:, : search.depth]
    if not (rows >= 0).any():
        raise DataError(f"candidates {source}: not one query finds a document; use another source")
    name = f"faiss {spec}" if spec else source
    ids = [query.id for query in search.dataset.queries]
    recall = _recall(rows, search.dataset, search.vectors.ids)
    return Candidates(ids, search.vectors.ids, rows, name, recall, ranked=source != "exact")


def _cached(path: Path, source: str, search: Search) -> np.ndarray:
    """Candidates from the cache; those that are not there are searched, by one process, and cached."""
    if (kept := _load(path, search.stages)) is not None:
        return kept
    with lock(path, "searching these candidates"):
        if (kept := _load(path, search.stages)) is not None:
            return kept
        rows, content = SOURCES[source](search), io.BytesIO()
        np.save(content, rows, allow_pickle=False)
        with sealed(path) as write:
            write(content.getvalue())
    return rows


def _load(path: Path, stages: Stages) -> np.ndarray | None:
    """Cached candidates, or None if they are not there or damaged; the damaged are removed."""
    if not path.exists():
        return None
    with contextlib.suppress(OSError, ValueError, EOFError):
        if not damaged(path):
            return np.load(path, allow_pickle=False)
    stages.tell(f"{path} is damaged; the candidates are searched again")
    path.unlink(missing_ok=True)
    return None


def _without_excluded(rows: np.ndarray, search: Search) -> np.ndarray:
    """Empty the slots of documents that are excluded for a query, and move the others up."""
    excluded = search.dataset.excluded
    named = set().union(*excluded.values())
    place = {name: row for row, name in enumerate(search.vectors.ids) if name in named}
    hit = np.zeros(rows.shape, bool)
    for at, query in enumerate(search.dataset.queries):
        hit[at] = np.isin(rows[at], [place[name] for name in excluded.get(query.id, ()) if name in place])
    if not hit.any():
        return rows
    rows = np.where(hit, -1, rows)
    return np.take_along_axis(rows, np.argsort(rows < 0, axis=1, kind="stable"), axis=1)


def _recall(rows: np.ndarray, dataset: Dataset, ids: Sequence[str]) -> float:
    """Mean share of a query's relevant documents among its candidates: the ceiling of any reranking."""
    found = []
    for query, candidates in zip(dataset.queries, rows, strict=True):
        wanted = set(dataset.relevant[query.id])
        found.append(len(wanted.intersection(ids[row] for row in candidates if row >= 0)) / len(wanted))
    return float(np.mean(found))


def _best(scores: np.ndarray, depth: int) -> np.ndarray:
    """Rows of the best scores, best first: (Q, n) → int64 (Q, depth); ties in corpus order."""
    if depth >= scores.shape[1]:
        return np.argsort(-scores, axis=1, kind="stable")
    least = np.partition(scores, -depth, axis=1)[:, -depth]
    near = [np.flatnonzero(mine >= bound) for mine, bound in zip(scores, least, strict=True)]
    return np.stack([rows[np.argsort(-mine[rows], kind="stable")[:depth]]
                     for mine, rows in zip(scores, near, strict=True)])  # fmt: skip


def _fill(found: Sequence[np.ndarray], depth: int) -> np.ndarray:
    rows = np.full((len(found), depth), -1, np.int64)
    for query, documents in enumerate(found):
        rows[query, : min(len(documents), depth)] = documents[:depth]
    return rows


@SOURCES.register("exact")
def exact(search: Search) -> np.ndarray:
    """Every document is a candidate; nothing is lost, and nothing is ranked."""
    return np.tile(np.arange(len(search.vectors), dtype=np.int64), (len(search.dataset.queries), 1))


@SOURCES.register("pooled")
def pooled(search: Search) -> np.ndarray:
    """The ranking by one vector an item: the normalised mean of its patches, by inner product, exact."""
    found = []
    with search.stages("candidates: pooled", len(search.dataset.queries), "queries") as advance:
        asked, means = mean_vectors(search.queries), mean_vectors(search.vectors, search.engine)
        together = max(1, SCORES // len(means))
        for start in range(0, len(asked), together):
            found.append(_best(asked[start : start + together] @ means.T, search.depth + 1))
            advance(len(found[-1]))
    return np.concatenate(found)


def mean_vectors(vectors: MultiVectors, engine: Map = serial) -> np.ndarray:
    """Normalised mean of each item's patches, float32 (n, d), read one shard at a time."""
    sums = np.empty((len(vectors), vectors.dim), np.float32)
    shards = ((number, begin, len(block)) for number, (begin, block) in enumerate(stream(vectors)))
    for (_, begin, count), found in engine(functools.partial(_sums, vectors), shards):
        first, last = np.searchsorted(vectors.offsets, [begin, begin + count])
        sums[first:last] = found
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _sums(vectors: MultiVectors, shard: tuple[int, int, int]) -> np.ndarray:
    """Sum of the patches of each item that begins in a shard, float32 (items, d)."""
    number, begin, count = shard
    block, (first, last) = part(vectors, number), np.searchsorted(vectors.offsets, [begin, begin + count])
    bounds = vectors.offsets[first : last + 1] - begin
    return np.stack([block[start:stop].astype(np.float32).sum(0) for start, stop in itertools.pairwise(bounds)])


@SOURCES.register("bm25")
def bm25(search: Search) -> np.ndarray:
    """BM25 over the text, k1 = 0.9 and b = 0.4 as in Anserini's flat index, English stop words, Snowball stems."""
    import bm25s
    import Stemmer

    if not any(document.text.strip() for document in search.dataset.documents):
        raise DataError("candidates bm25: the pages have no text; give --candidates faiss, pooled or exact")

    def tokenize(texts: list[str]):
        return bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)

    with search.stages("candidates: bm25", len(search.dataset.queries), "queries") as advance:
        index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
        words = tokenize([document.text for document in search.dataset.documents])
        if not words.vocab:  # nothing but stop words
            return np.full((len(search.dataset.queries), 1), -1, np.int64)
        index.index(words, show_progress=False)
        depth = min(search.depth + 1, len(search.dataset.documents))
        asked = tokenize([query.text for query in search.dataset.queries])
        rows, scores = index.retrieve(asked, k=depth, show_progress=False)
        advance(len(rows))
    order = np.lexsort((rows, -scores), axis=1)  # ties in corpus order
    rows, scores = (np.take_along_axis(one, order, axis=1) for one in (rows, scores))
    return np.where(scores > 0, rows, -1).astype(np.int64)


def index_spec(search: Search) -> str:
    """The FAISS index: as asked, or by corpus size."""
    return indexes.resolve(search.index, *search.vectors.vectors.shape)


@SOURCES.register("faiss")
def faiss(search: Search) -> np.ndarray:
    """The patches nearest to each query token give their documents, ranked by an approximate MaxSim.

    A token that did not find a document counts as its weakest find, as in XTR (Lee et al., 2023).
    """
    spec = index_spec(search)
    rows = np.full((len(search.queries), search.depth + 1), -1, np.int64)
    with tempfile.TemporaryDirectory() as scratch:
        root = search.root if search.vectors.fingerprint else Path(scratch)
        path = indexes.fetch(spec, search.vectors, search.stages, root, search.engine, search.wide)
        moved, note = indexes.placed(path, spec, search.device)
        search.notes.extend(note)
        near, engine = (moved.search, serial) if moved else (functools.partial(indexes.nearest, path), search.engine)
        tokens = np.asarray(search.queries.vectors[:], np.float32)
        ask = functools.partial(_ranked, near, tokens, search.queries.offsets, search.vectors.offsets, search.depth + 1)
        blocks = (range(first, min(first + BLOCK, len(rows))) for first in range(0, len(rows), BLOCK))
        with (
            search.stages("candidates: search", len(rows), "queries") as advance,
            threadpool_limits(1, user_api="blas"),
        ):
            for block, found in engine(ask, blocks):
                rows[block.start : block.stop] = found
                advance(len(block))
    return rows


def _ranked(near: Near, tokens: np.ndarray, bounds: np.ndarray, offsets: np.ndarray, depth: int, queries: range):
    """The best documents of some queries, int64 (queries, depth); bounds are of the tokens, offsets of the patches."""
    found, asked = [], min(PER_TOKEN, int(offsets[-1]))
    for query in queries:
        scores, patches = near(tokens[bounds[query] : bounds[query + 1]], asked)  # each (t, asked)
        documents = np.searchsorted(offsets, patches.ravel(), side="right") - 1
        gain = (scores - scores.min(axis=1, keepdims=True, where=patches >= 0, initial=np.inf)).ravel()
        token = np.repeat(np.arange(len(scores)), scores.shape[1])
        real = np.flatnonzero(patches.ravel() >= 0)
        best = real[np.lexsort((-gain[real], documents[real], token[real]))]
        first = np.ones(len(best), bool)  # of each (token, document): the best patch
        first[1:] = (np.diff(token[best]) != 0) | (np.diff(documents[best]) != 0)
        total = np.bincount(documents[best[first]], gain[best[first]])
        ranked = np.unique(documents[best])
        found.append(ranked[np.argsort(-total[ranked], kind="stable")])
    return _fill(found, depth)
