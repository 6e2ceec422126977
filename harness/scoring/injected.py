"""The pass of an attack: each candidate's own state, then that state going on with injected patches, at every count.

Nothing is rescored: the products are those of the clean documents, similarities to a query's injected patches are
computed once a query, and all counts come from one stream.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
import torch
from torch import Tensor

from harness.aggregators import Aggregator
from harness.engines.base import Map, serial
from harness.records import Arm, Candidates, MultiVectors
from harness.scoring import gemm, tiles
from harness.scoring.compiled import emit, group, widest
from harness.scoring.kernels import kernel_of
from harness.scoring.kernels.base import ANY_ORDER, OPTIONS, finish_at, share_at, start_at, update_at
from harness.scoring.padded import Piece, products, score_pieces
from harness.scoring.products import compare, shape, spaces, write
from harness.scoring.sweep import Run, invert, state_rows, ways
from harness.scoring.tiles import room
from harness.vectors.injections.base import BANK, Injection
from harness.vectors.shards import part
from harness.vectors.streams import Streams
from harness.vectors.streams import streams as length_streams


@dataclass(frozen=True)
class AttackScores:
    """values float32 (A, K, Q, C): scores by injected count; hijacked, the same shape: mean over query tokens of the
    share of the selection that injected patches hold, NaN for operators without one. NaN where a slot is empty."""

    aggregators: Sequence[str]
    counts: Sequence[int]
    candidates: Candidates
    values: np.ndarray
    hijacked: np.ndarray


@dataclass(frozen=True)
class _Attack:
    """What every run of an attack shares. packed: of tiles.packed; banks: float32 (Σ BANK·t), the bank of query q from
    BANK·bounds[q] on, each patch's similarities to the query's tokens side by side."""

    injection: Injection
    vectors: MultiVectors
    queries: MultiVectors
    tokens: np.ndarray
    packed: np.ndarray
    banks: np.ndarray
    streams: np.ndarray  # uint64 (Q)

    def picks(self, queries: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """The bank patches that pairs of rows (N) receive: int64 (N, largest count)."""
        rows, place = np.unique(documents, return_inverse=True)
        streams = np.array([self.injection.stream(self.vectors.ids[row]) for row in rows], np.uint64)
        return self.injection.picks(self.streams[queries], streams[place])


def attack(
    vectors: MultiVectors,
    queries: MultiVectors,
    candidates: Candidates,
    injection: Injection,
    aggregators: Sequence[Aggregator],
    engine: Map = serial,
    advance: Callable[[int], None] = lambda documents: None,
    device: torch.device | None = None,
) -> AttackScores:
    """Score every candidate, whole, with 0 … K patches injected. Candidates should hold no relevant document.

    device: where to multiply and reduce, padded and in torch; None stands for the compiled pass on the CPU.
    """
    tokens = np.ascontiguousarray(queries.vectors[:], np.float32)
    banks = _banks(injection, queries, tokens, corpus_norm(vectors))
    streams = np.array([injection.stream(name) for name in queries.ids], np.uint64)
    packed = tiles.packed(queries.vectors[:], queries.offsets) if device is None else tiles.NONE
    shared = _Attack(injection, vectors, queries, tokens, packed, banks, streams)
    chosen = ways(aggregators, _attack_compiled, _attack_torch)
    if device is not None:
        whole = length_streams(vectors, Arm("truncate", None, None), [int(vectors.counts.max())])
        there = torch.from_numpy(tokens).to(device), torch.from_numpy(banks).to(device)
        chosen = iter([(list(range(len(aggregators))), functools.partial(_attack_padded, *there, whole))])
    shape = (len(aggregators), len(injection.counts), *candidates.rows.shape)
    values, hijacked = (np.full(shape, np.nan, np.float32) for _ in range(2))
    with gemm.one_thread_each():
        for at, way in chosen:
            score = functools.partial(way, shared, [aggregators[one] for one in at])
            for run, (scored, held) in engine(score, invert(candidates, vectors)):
                for number, one in enumerate(at):
                    values[one, :, run.queries, run.slots] = scored[number].T
                    hijacked[one, :, run.queries, run.slots] = held[number].T
                advance(len(run.rows))
    hijacked /= np.diff(queries.offsets)[:, None]  # sums over tokens become means
    return AttackScores([str(one) for one in aggregators], injection.counts, candidates, values, hijacked)


def corpus_norm(vectors: MultiVectors) -> float:
    """Mean norm of the corpus's first patches: what injected patches are given too. 1 for normalising encoders."""
    return float(np.linalg.norm(np.asarray(vectors.vectors[: 1 << 12], np.float32), axis=1).mean())


def _banks(injection: Injection, queries: MultiVectors, tokens: np.ndarray, norm: float) -> np.ndarray:
    parts = []
    for row, name in enumerate(queries.ids):
        mine = tokens[queries.offsets[row] : queries.offsets[row + 1]]
        parts.append((injection.bank(name, mine, norm) @ mine.T).ravel())
    return np.concatenate(parts)


@nb.njit(cache=True, **ANY_ORDER)
def attack_run(
    own,
    starts,
    patches,
    tokens,
    packed,
    bounds,
    pairs,
    queries,
    banks,
    picks,
    counts,
    addresses,
    rows,
    parameters,
    product,
    out,
    held,
):
    """As score_run, for whole documents, each pair's stream going on with its picks: (N, K) into banks.

    counts: int64 (K), ascending; out, held: float32 (A, K, N).
    """
    if len(packed):
        tiles.configure()
    d, most = tokens.shape[1], picks.shape[1]
    space = spaces(packed, tokens, own, patches.max(), widest(bounds, queries))
    for i in range(starts.shape[0]):
        n = patches[i]
        write(packed, own[starts[i] : starts[i] + n], own[:0], space)
        first = pairs[i]
        while first < pairs[i + 1]:
            last, used = group(bounds, queries[: pairs[i + 1]], first)
            tall, wide = shape(packed, used, n, d)
            sims = room((tall + most) * wide, tokens).reshape((tall + most, wide))
            compare(product, tokens, packed, bounds, queries[first:last], space, sims[:tall])
            _inject(sims, n, banks, bounds, queries[first:last], picks[first:last])
            scores = np.empty(used, np.float32)
            for a in range(rows.shape[0]):
                state = np.empty((rows[a], used), np.float32)
                update, finish = update_at(addresses[a, 1]), finish_at(addresses[a, 2])
                start_at(addresses[a, 0])(state, parameters[a])
                update(sims, 0, n, state, parameters[a])
                clean, seen = state.copy(), n
                for k in range(counts.shape[0]):
                    update(sims, seen, n + counts[k], state, parameters[a])
                    seen = n + counts[k]
                    finish(state, seen, scores, parameters[a])
                    emit(scores, bounds, queries[first:last], first, out[a, k])
                    if counts[k] == 0:  # nothing is injected, so nothing is held, whatever 1 − x/x rounds to
                        scores[:] = np.float32(0.0)
                    else:
                        share_at(addresses[a, 3])(clean, n, state, seen, scores, parameters[a])
                    emit(scores, bounds, queries[first:last], first, held[a, k])
            first = last
    if len(packed):
        tiles.release()


@nb.njit(inline="always", **OPTIONS)
def _inject(sims, start, banks, bounds, queries, picks):
    """Write each query's similarities to its injected patches below the document's own, from row ``start`` on."""
    sims[start:] = np.float32(0.0)
    for k in range(picks.shape[1]):
        lane = 0
        for number in range(queries.shape[0]):
            query = queries[number]
            t = bounds[query + 1] - bounds[query]
            begin = BANK * bounds[query] + picks[number, k] * t
            for token in range(t):
                sims[start + k, lane + token] = banks[begin + token]
            lane += t


def _attack_compiled(shared: _Attack, aggregators: Sequence[Aggregator], run: Run) -> tuple[np.ndarray, np.ndarray]:
    kernels = [kernel for one in aggregators if (kernel := kernel_of(one))]
    counts, sizes = np.array(shared.injection.counts, np.int64), shared.vectors.sizes(run.rows)
    picks = shared.picks(run.queries, np.repeat(run.rows, np.diff(run.pairs)))
    own = part(shared.vectors, run.shard)
    out, held = (np.empty((len(kernels), len(counts), len(run.queries)), np.float32) for _ in range(2))
    with gemm.single_threaded():
        attack_run(
            own.view(np.uint16),
            run.starts,
            sizes,
            shared.tokens,
            tiles.usable(shared.packed),
            shared.queries.offsets,
            run.pairs,
            run.queries,
            shared.banks,
            picks,
            counts,
            np.stack([kernel.addresses for kernel in kernels]),
            state_rows(kernels, aggregators, int(sizes.max() + counts.max())),
            np.array([kernel.parameter(one) for kernel, one in zip(kernels, aggregators, strict=True)]),
            gemm.address(),
            out,
            held,
        )
    return out, held


def _attack_torch(shared: _Attack, aggregators: Sequence[Aggregator], run: Run) -> tuple[np.ndarray, np.ndarray]:
    counts, bounds = shared.injection.counts, shared.queries.offsets
    out, held = (np.zeros((len(aggregators), len(counts), len(run.queries)), np.float32) for _ in range(2))
    documents = np.repeat(run.rows, np.diff(run.pairs))
    picks = shared.picks(run.queries, documents)
    for pair, (query, row) in enumerate(zip(run.queries, documents, strict=True)):
        lanes = shared.tokens[bounds[query] : bounds[query + 1]]
        own = torch.from_numpy(lanes @ shared.vectors.of(int(row)).astype(np.float32).T)  # (t, p)
        bank = shared.banks[BANK * bounds[query] : BANK * bounds[query + 1]].reshape(BANK, -1)
        injected = torch.from_numpy(bank[picks[pair]].T)  # (t, K)
        for a, aggregator in enumerate(aggregators):
            clean = aggregator.reduce(own)
            for k, count in enumerate(counts):
                other = aggregator.reduce(injected[:, :count]) if count else None
                state = clean if other is None else aggregator.merge(clean, other)
                share = torch.zeros(len(lanes)) if other is None else aggregator.share(clean, other)
                out[a, k, pair] = float(aggregator.finish(state).sum())
                held[a, k, pair] = float("nan") if share is None else float(share.sum())
    return out, held


def _attack_padded(
    tokens: Tensor, banks: Tensor, whole: Streams, shared: _Attack, aggregators: Sequence[Aggregator], run: Run
) -> tuple[np.ndarray, np.ndarray]:
    """As the others, on the device of tokens and banks, which shared holds on the host."""
    score = functools.partial(_attack_piece, tokens, banks, shared, aggregators)
    out, held = score_pieces(score, whole, shared.queries.offsets, run)
    return out, held


def _attack_piece(
    tokens: Tensor, banks: Tensor, shared: _Attack, aggregators: Sequence[Aggregator], piece: Piece
) -> Tensor:
    """Scores of a piece's lanes and the shares that injected patches hold, float32 (2, A, K, W)."""
    counts, bounds, sizes = shared.injection.counts, shared.queries.offsets, np.diff(piece.pairs)
    picks = shared.picks(piece.queries, piece.documents) * sizes[:, None]  # a bank's patches are as long as its query
    first = piece.rows + (BANK - 1) * np.repeat(bounds[piece.queries], sizes)
    pairs, begin, steps = (
        torch.from_numpy(one).to(tokens.device) for one in (np.repeat(np.arange(len(sizes)), sizes), first, picks)
    )
    out = torch.zeros((2, len(aggregators), len(counts), len(piece.rows)), device=tokens.device)
    for _, lanes, sims in products(tokens, piece, beside=3 * max(counts)):
        injected = banks[begin[lanes][..., None] + steps[pairs[lanes]]]  # (B, w, K)
        for a, aggregator in enumerate(aggregators):
            clean, other, seen = aggregator.reduce(sims), None, 0
            for k, count in enumerate(counts):
                if count > seen:
                    more = aggregator.reduce(injected[..., seen:count])
                    other, seen = more if other is None else aggregator.merge(other, more), count
                state = clean if other is None else aggregator.merge(clean, other)
                out[0, a, k][lanes] = aggregator.finish(state).float()
                if other is not None:
                    share = aggregator.share(clean, other)
                    out[1, a, k][lanes] = float("nan") if share is None else share.float()
    return out
