"""The records that pass between rooms. Shape checks only.

Axes, one letter each: Q queries, C candidates, t query tokens, p patches, d dimensions, A aggregators, L lengths.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ir_measures import Qrel, ScoredDoc

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Arm", "Candidates", "Dataset", "Document", "Manifest", "MultiVectors", "Page", "Qrel", "Query"]
__all__ += ["Result", "ScoredDoc", "SweepScores", "content", "rank", "ties"]

VALUE, SLOPE, LENGTH = STATISTICS = ("value", "slope", "length")
"""The column ``statistic``: a value at a length, a slope over the lengths, or a length against the longest."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page's image: where it lies, and the sha256 of its content."""

    path: Path
    checksum: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or a page image whose text may be empty; title: the beginning of the text that is its title."""

    id: str
    text: str
    page: Page | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    id: str
    text: str


def content(item: Document | Query) -> tuple[str, ...]:
    """What an item is, for fingerprints: id and text, and the checksum of a page's image; never where a file lies."""
    page = item.page if isinstance(item, Document) else None
    return (item.id, item.text) if page is None else (item.id, item.text, page.checksum)


@dataclass(frozen=True)
class Dataset:
    """A judged collection: every query has at least one relevant document, every judgment names known ids.

    excluded: query id → documents that are never its candidates, as a query that is itself a document.
    """

    name: str
    split: str
    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Sequence[Qrel]
    fingerprint: str
    notes: Sequence[str] = ()
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def relevant(self) -> Mapping[str, Sequence[str]]:
        """Query id → its relevant documents, in the order of the judgments; a grade above 0 is relevant."""
        found: dict[str, list[str]] = {query.id: [] for query in self.queries}
        for qrel in self.qrels:
            if qrel.relevance > 0:
                found.setdefault(qrel.query_id, []).append(qrel.doc_id)
        return found


@dataclass(frozen=True)
class MultiVectors:
    """Vectors of n items, one after the other: item i owns ``vectors[offsets[i]:offsets[i + 1]]``.

    vectors: float16 (Σp, d), usually memory-mapped; offsets: int64 (n + 1); fingerprint: names the content.
    """

    ids: Sequence[str]
    vectors: Any
    offsets: np.ndarray
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if self.vectors.dtype != np.float16 or len(self.vectors.shape) != 2:
            raise ValueError(f"vectors must be float16 (patches, d), not {self.vectors.dtype} {self.vectors.shape}")
        if self.offsets.shape != (len(self.ids) + 1,) or self.offsets[-1] != self.vectors.shape[0]:
            raise ValueError(
                f"{len(self.ids)} ids do not fit offsets {self.offsets.shape} ending in {self.offsets[-1]}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    @property
    def counts(self) -> np.ndarray:
        """Patches of each item, int64 (n)."""
        return np.diff(self.offsets)

    def sizes(self, rows: np.ndarray | int) -> np.ndarray:
        """Patches of some items, int64 like rows; the others are not counted."""
        return np.asarray(self.offsets[np.asarray(rows) + 1] - self.offsets[rows])

    def of(self, row: int) -> np.ndarray:
        """Vectors of one item, float16 (p, d)."""
        return np.asarray(self.vectors[int(self.offsets[row]) : int(self.offsets[row + 1])])


@dataclass(frozen=True)
class Arm:
    """How a document's patch stream goes on: its own patches up to ``evidence``, then ``fill``.

    evidence: most own patches kept, or None for all; fill: a fill's name, or None for no filler.
    """

    name: str
    evidence: int | None
    fill: str | None
    seed: int = 0


@dataclass(frozen=True)
class Candidates:
    """The documents reranked for each query, best first where the source ranks them.

    rows: int64 (Q, C) into document_ids, −1 where empty; recall: mean share of a query's relevant documents found;
    notes: what a run must say of how they were searched.
    """

    query_ids: Sequence[str]
    document_ids: Sequence[str]
    rows: np.ndarray
    source: str
    recall: float
    ranked: bool = True
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.rows) != len(self.query_ids):
            raise ValueError(f"rows {self.rows.shape} do not fit {len(self.query_ids)} queries")

    @functools.cached_property
    def ties(self) -> np.ndarray:
        """See ``ties``: of the documents, int64 (n)."""
        return ties(self.document_ids)

    def run(self) -> Iterator[ScoredDoc]:
        """The source's own ranking, scored by minus the rank."""
        for query_id, rows in zip(self.query_ids, self.rows, strict=True):
            for rank, row in enumerate(rows[rows >= 0]):
                yield ScoredDoc(query_id, self.document_ids[row], -float(rank))


def ties(ids: Sequence[str]) -> np.ndarray:
    """The place of every document among documents of equal scores, int64 (n): as in trec_eval the greatest id is first.

    Python orders text by code points, which is the order of UTF-8's bytes that trec_eval compares.
    """
    places = np.empty(len(ids), np.int64)
    places[sorted(range(len(ids)), key=ids.__getitem__, reverse=True)] = np.arange(len(ids))
    return places


def rank(candidates: Candidates, rows: np.ndarray, values: np.ndarray, depth: int | None) -> Iterator[ScoredDoc]:
    """Documents by score, best first, at most ``depth`` a query: rows, values (Q, C), rows −1 where empty.

    Equal scores are ordered, and cut at the depth, as trec_eval does: see ``ties``.
    """
    for query_id, mine, scores in zip(candidates.query_ids, rows, values, strict=True):
        order = np.lexsort((candidates.ties[mine], -scores))[: min(depth or len(mine), int((mine >= 0).sum()))]
        for row, score in zip(mine[order].tolist(), scores[order].tolist(), strict=True):
            yield ScoredDoc(query_id, candidates.document_ids[row], score)


@dataclass(frozen=True)
class SweepScores:
    """Scores of every cell of one arm: values float32 (A, L, Q, C), NaN where a candidate slot is empty."""

    arm: Arm
    aggregators: Sequence[str]
    lengths: Sequence[int]
    candidates: Candidates
    values: np.ndarray

    def run(self, aggregator: str, length: int, depth: int | None = None) -> Iterator[ScoredDoc]:
        """One cell's ranking, best first, at most ``depth`` documents a query."""
        cell = self.values[list(self.aggregators).index(aggregator), list(self.lengths).index(length)]
        return rank(self.candidates, self.candidates.rows, cell, depth)


@dataclass
class Manifest:
    """Where a run's numbers come from; its presence marks the run as finished.

    source: a digest of this program's own code; plugins: other packages' code that the question uses, with its digest;
    answered: when, in UTC.
    """

    command: str
    config: dict[str, Any]
    seeds: dict[str, int]
    git_revision: str | None
    versions: dict[str, str]
    fingerprints: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    core_seconds: dict[str, float] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    candidates: dict[str, Any] = field(default_factory=dict)
    cells: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: str = ""
    plugins: list[dict[str, Any]] = field(default_factory=list)
    answered: str = ""


@dataclass(frozen=True)
class Result:
    """What a command wrote, as data frames with the files' own columns, and where.

    explained: of ``stress`` with a query to explain, its token-level table.
    """

    path: Path
    summary: pd.DataFrame
    per_query: pd.DataFrame
    tests: pd.DataFrame
    manifest: Manifest
    explained: pd.DataFrame | None = None
