"""Tasks, the units of work of a scoring pass: some documents of a shard, with the queries that want each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.engines.base import Map
from harness.records import Candidates, MultiVectors
from harness.scoring.blas import one_thread_each
from harness.vectors.shards import stream
from harness.vectors.streams import Streams

DOCUMENTS = 128  # of a task: enough that the work around a task is small, and tasks many enough to balance cores


@dataclass(frozen=True)
class Task:
    """Some documents of one shard, and the (query, slot) pairs that want them, document by document.

    It names the shard and holds none of its vectors, so that it can be scored in another process.
    """

    rows: np.ndarray  # int64 (n)
    shard: int  # of the vectors' parts, see harness.vectors.shards.part
    starts: np.ndarray  # int64 (n), where each document begins in the shard
    pairs: np.ndarray  # int64 (n + 1) into queries and slots
    queries: np.ndarray  # int64 (N)
    slots: np.ndarray  # int64 (N)

    @property
    def documents(self) -> np.ndarray:
        """The document of every pair, by row: int64 (N)."""
        return np.repeat(self.rows, np.diff(self.pairs))


@dataclass(frozen=True)
class Sweep:
    """What all tasks of a sweep share.

    tokens: float32 (T, d) of all queries, on the device that multiplies; bounds: int64 (Q + 1), where queries begin;
    packed: of amx.packed, or empty.
    """

    streams: Streams
    tokens: Any
    bounds: np.ndarray
    packed: np.ndarray


Score = Callable[[Task], np.ndarray]
"""Scores of a task's pairs, float32 (..., A, L, N)."""


def tasks(candidates: Candidates, vectors: MultiVectors) -> Iterator[Task]:
    """Candidate lists turned round: each wanted document with the queries that want it, in document order."""
    queries, slots = np.nonzero(candidates.rows >= 0)
    wanted = candidates.rows[queries, slots]
    order = np.argsort(wanted, kind="stable")
    queries, slots, wanted = queries[order], slots[order], wanted[order]
    rows, first = np.unique(wanted, return_index=True)
    ends, begins = np.append(first, len(wanted)), vectors.offsets[rows]
    for shard, (begin, block) in enumerate(stream(vectors)):
        here, beyond = np.searchsorted(begins, [begin, begin + len(block)])
        for start in range(here, beyond, DOCUMENTS):
            stop = min(start + DOCUMENTS, beyond)
            span = slice(ends[start], ends[stop])
            yield Task(
                rows=rows[start:stop],
                shard=shard,
                starts=begins[start:stop] - begin,
                pairs=ends[start : stop + 1] - ends[start],
                queries=queries[span],
                slots=slots[span],
            )


def complete(
    values: np.ndarray,
    passes: Iterable[tuple[Sequence[int], Score]],
    candidates: Candidates,
    vectors: MultiVectors,
    engine: Map,
    advance: Callable[[int], None],
) -> None:
    """Write every candidate's scores into values (..., A, L, Q, C). passes: places of aggregators, their scores."""
    with one_thread_each():  # a task per core, each with its own single-threaded multiplication
        for places, score in passes:
            for task, scores in engine(score, tasks(candidates, vectors)):
                for number, place in enumerate(places):
                    values[..., place, :, task.queries, task.slots] = np.moveaxis(scores[..., number, :, :], -1, 0)
                advance(len(task.rows))
