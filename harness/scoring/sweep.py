"""The scoring pass: the store is streamed once, in document order, for every operator at every length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.engines.base import Map, serial
from harness.records import Arm, Candidates, MultiVectors, SweepScores
from harness.scoring import gemm, padded, tiles
from harness.scoring.compiled import score_run
from harness.scoring.kernels import Kernel, kernel_of
from harness.vectors.shards import part, stream
from harness.vectors.streams import Streams, streams

RUN = 128  # documents a task: enough that the work around a task is small, and many enough to balance cores


@dataclass(frozen=True)
class Run:
    """Some documents of one shard, and the (query, slot) pairs that want them, document by document.

    It names the shard and holds none of its vectors, so that it can be scored in another process.
    """

    rows: np.ndarray  # int64 (n)
    shard: int  # of the vectors' parts, see harness.vectors.shards.part
    starts: np.ndarray  # int64 (n), where each document begins in the shard
    pairs: np.ndarray  # int64 (n + 1) into queries and slots
    queries: np.ndarray  # int64 (N)
    slots: np.ndarray  # int64 (N)


def sweep(
    vectors: MultiVectors,
    queries: MultiVectors,
    candidates: Candidates,
    arm: Arm,
    lengths: Sequence[int],
    aggregators: Sequence[Aggregator],
    engine: Map = serial,
    advance: Callable[[int], None] = lambda documents: None,
    device: torch.device | None = None,
) -> SweepScores:
    """Score every candidate under every aggregator at every length. Similarities are float32, scores sums over tokens.

    vectors: documents; queries: their rows are those of candidates.query_ids. A score depends on its query, its
    document and the arm alone: not on the other candidates, their order, or how the work is split.
    device: where to multiply and reduce, padded, to within 1e-4 of the compiled pass on the CPU, which None stands for.
    """
    lengths = sorted(lengths)
    cut = streams(vectors, arm, lengths)
    tokens: Any = np.ascontiguousarray(queries.vectors[:], np.float32)
    if device is None:
        packed = tiles.packed(queries.vectors[:], queries.offsets)
        chosen = ways(aggregators, functools.partial(_score_compiled, packed), _score_torch)
    else:
        tokens, chosen = torch.from_numpy(tokens).to(device), padded.ways(aggregators, device)
    values = np.full((len(aggregators), len(lengths), *candidates.rows.shape), np.nan, np.float32)
    with gemm.one_thread_each():  # a task per core, each with its own single-threaded multiplication
        for at, way in chosen:
            score = functools.partial(way, cut, tokens, queries.offsets, [aggregators[one] for one in at])
            for run, scored in engine(score, invert(candidates, vectors)):
                for number, one in enumerate(at):
                    values[one, :, run.queries, run.slots] = scored[number].T
                advance(len(run.rows))
    return SweepScores(arm, [str(one) for one in aggregators], lengths, candidates, values)


def ways(
    aggregators: Sequence[Aggregator], compiled: Callable, plain: Callable
) -> Iterator[tuple[list[int], Callable[..., Any]]]:
    """Which operators go through which pass: those with a kernel through the compiled one, all others together."""
    if has := [at for at, one in enumerate(aggregators) if kernel_of(one)]:
        yield has, compiled
    if others := [at for at, one in enumerate(aggregators) if not kernel_of(one)]:
        yield others, plain


def state_rows(kernels: Sequence[Kernel], aggregators: Sequence[Aggregator], patches: int) -> np.ndarray:
    """Rows of state a lane of every kernel: never more than the longest stream can fill."""
    most = -(-patches // 4) * 4 + 4
    return np.array([min(kernel.rows(one), most) for kernel, one in zip(kernels, aggregators, strict=True)])


def invert(candidates: Candidates, vectors: MultiVectors) -> Iterator[Run]:
    """Candidate lists turned round: each wanted document with the queries that want it, in document order."""
    queries, slots = np.nonzero(candidates.rows >= 0)
    wanted = candidates.rows[queries, slots]
    order = np.argsort(wanted, kind="stable")
    queries, slots, wanted = queries[order], slots[order], wanted[order]
    rows, first = np.unique(wanted, return_index=True)
    ends, begins = np.append(first, len(wanted)), vectors.offsets[rows]
    for number, (begin, block) in enumerate(stream(vectors)):
        here, beyond = np.searchsorted(begins, [begin, begin + len(block)])
        for start in range(here, beyond, RUN):
            stop = min(start + RUN, beyond)
            span = slice(ends[start], ends[stop])
            yield Run(
                rows=rows[start:stop],
                shard=number,
                starts=begins[start:stop] - begin,
                pairs=ends[start : stop + 1] - ends[start],
                queries=queries[span],
                slots=slots[span],
            )


def _score_compiled(
    packed: np.ndarray, cut: Streams, tokens, bounds, aggregators: Sequence[Aggregator], run: Run
) -> np.ndarray:
    """Scores of a run's pairs by the compiled kernels, float32 (A, L, N)."""
    kernels = [kernel for one in aggregators if (kernel := kernel_of(one))]
    (filler, filled), counts = cut.fillers(run.rows), np.ascontiguousarray(cut.counts(run.rows))
    out = np.empty((len(kernels), counts.shape[1], len(run.queries)), np.float32)
    with gemm.single_threaded():
        score_run(
            part(cut.vectors, run.shard).view(np.uint16),
            run.starts,
            cut.kept(run.rows),
            filler.view(np.uint16),
            filled,
            counts,
            tokens,
            tiles.usable(packed),
            bounds,
            run.pairs,
            run.queries,
            np.stack([kernel.addresses for kernel in kernels]),
            state_rows(kernels, aggregators, int(counts.max())),
            np.array([kernel.parameter(one) for kernel, one in zip(kernels, aggregators, strict=True)]),
            gemm.address(),
            out,
        )
    return out


def _score_torch(cut: Streams, tokens, bounds, aggregators: Sequence[Aggregator], run: Run) -> np.ndarray:
    """Scores of a run's pairs by the operators' own torch functions, float32 (A, L, N)."""
    out = np.empty((len(aggregators), len(cut.cuts), len(run.queries)), np.float32)
    for number, row in enumerate(run.rows):
        wanting = run.queries[run.pairs[number] : run.pairs[number + 1]]
        spans = [np.arange(bounds[query], bounds[query + 1]) for query in wanting]
        lanes = torch.from_numpy(tokens[np.concatenate(spans)])  # (W, d)
        sims = lanes @ torch.from_numpy(cut.of(int(row)).astype(np.float32)).T  # (W, p)
        owner = torch.repeat_interleave(torch.tensor([len(span) for span in spans]))  # (W)
        for a, aggregator in enumerate(aggregators):
            state, seen = None, 0
            for at, stop in enumerate(cut.counts(row).tolist()):
                if stop > seen:
                    more = aggregator.reduce(sims[:, seen:stop])
                    state, seen = more if state is None else aggregator.merge(state, more), stop
                summed = torch.zeros(len(wanting)).index_add_(0, owner, aggregator.finish(state).float())
                out[a, at, run.pairs[number] : run.pairs[number + 1]] = summed
    return out
