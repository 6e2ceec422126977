"""The compiled pass over a task's documents: multiply, and reduce while the block is in cache; no Python inside.

A document is multiplied by a group of its queries at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.aggregators import Aggregator
from harness.aggregators.maxsim import MaxSim
from harness.scoring import amx, blas
from harness.scoring.amx import aligned
from harness.scoring.injected import Attack
from harness.scoring.kernels import KERNELS, kernel_of
from harness.scoring.kernels.base import finish_at, share_at, start_at, update_at
from harness.scoring.llvm import compiled, configure_tiles, inlined, release_tiles
from harness.scoring.products import compare, shape, spaces, whole, write
from harness.scoring.tasks import Sweep, Task
from harness.vectors.injections.base import BANK
from harness.vectors.shards import part

LANES = 512  # query tokens multiplied at once; a block of 256 patches is then half a megabyte, inside a core's cache


def has(aggregator: Aggregator) -> bool:
    """Whether exactly this operator is compiled."""
    return kernel_of(aggregator) is not None


def attempt() -> None:
    """Compile MaxSim's kernel. Raises whatever keeps numba from it, such as internals of another version."""
    assert all(KERNELS[MaxSim].addresses)


def score_sweep(sweep: Sweep, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs, float32 (A, L, N)."""
    streams, counts = sweep.streams, np.array(sweep.streams.counts(task.rows), order="C")  # of one row it is read-only
    filler, filler_bounds = streams.fillers(task.rows)
    out = np.empty((len(aggregators), counts.shape[1], len(task.queries)), np.float32)
    with blas.single_threaded():
        _score(
            part(streams.vectors, task.shard).view(np.uint16),
            task.starts,
            streams.own_counts(task.rows),
            filler.view(np.uint16),
            filler_bounds,
            counts,
            sweep.tokens,
            amx.usable(sweep.packed),
            sweep.bounds,
            task.pairs,
            task.queries,
            *_kernels(aggregators, int(counts.max())),
            blas.sgemm(),
            out,
        )
    return out


def score_attack(attack: Attack, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs and the shares that injected patches hold, sums over tokens: float32 (2, A, K, N)."""
    counts, sizes = np.array(attack.injection.counts, np.int64), attack.vectors.sizes(task.rows)
    out = np.empty((2, len(aggregators), len(counts), len(task.queries)), np.float32)
    with blas.single_threaded():
        _attack(
            part(attack.vectors, task.shard).view(np.uint16),
            task.starts,
            sizes,
            attack.tokens,
            amx.usable(attack.packed),
            attack.bounds,
            task.pairs,
            task.queries,
            attack.banks,
            attack.picks(task.queries, task.documents),
            counts,
            *_kernels(aggregators, int(sizes.max() + counts.max())),
            blas.sgemm(),
            *out,
        )
    return out


def _kernels(aggregators: Sequence[Aggregator], patches: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses (A, 5), rows of state a lane, never more than so many patches can fill, and parameters, each (A)."""
    pairs = [(KERNELS[type(aggregator)], aggregator) for aggregator in aggregators]
    most = -(-patches // 4) * 4 + 4
    rows = np.array([min(kernel.rows(aggregator), most) for kernel, aggregator in pairs])
    parameters = np.array([kernel.parameter(aggregator) for kernel, aggregator in pairs])
    return np.stack([kernel.addresses for kernel, _ in pairs]), rows, parameters


@inlined
def _emit(scores: np.ndarray, bounds: np.ndarray, queries: np.ndarray, at: int, out: np.ndarray) -> None:
    """Sum the scores of each query's tokens into out (pairs), from pair ``at`` on."""
    lane = 0
    for number in range(queries.shape[0]):
        total = 0.0
        for _ in range(bounds[queries[number]], bounds[queries[number] + 1]):
            total += scores[lane]
            lane += 1
        out[at + number] = np.float32(total)


@inlined
def _group(bounds: np.ndarray, wanting: np.ndarray, first: int) -> tuple[int, int]:
    """How many of the queries from ``first`` on fit LANES together: at least one. Returns (last, lanes)."""
    last, used = first, 0
    while last < wanting.shape[0]:
        size = bounds[wanting[last] + 1] - bounds[wanting[last]]
        if last > first and used + size > LANES:
            break
        used += size
        last += 1
    return last, whole(used)


@inlined
def _widest(bounds: np.ndarray, queries: np.ndarray) -> int:
    """The most lanes any group of a task can have."""
    longest = 0
    for query in queries:
        longest = max(longest, bounds[query + 1] - bounds[query])
    return max(LANES, whole(longest))


@compiled(any_order=True)
def _score(
    own: np.ndarray,
    starts: np.ndarray,
    own_counts: np.ndarray,
    filler: np.ndarray,
    filler_bounds: np.ndarray,
    counts: np.ndarray,
    tokens: np.ndarray,
    packed: np.ndarray,
    bounds: np.ndarray,
    pairs: np.ndarray,
    queries: np.ndarray,
    addresses: np.ndarray,
    rows: np.ndarray,
    parameters: np.ndarray,
    product: int,
    out: np.ndarray,
) -> None:
    """Scores of every (document, query) pair of a task, for every operator and length.

    own: uint16 (P, d), float16 bits; starts, own_counts: int64 (n), a document's own patches; filler: uint16 (F, d) and
    filler_bounds: int64 (n + 1); counts: int64 (n, L), non-decreasing along L; tokens: float32 (T, d), packed, product:
    see compare; bounds: int64 (Q + 1); pairs: int64 (n + 1) into queries: int64 (N); addresses: int64 (A, 5), rows,
    parameters: (A), of the operators' kernels; out: float32 (A, L, N).
    """
    if len(packed):
        configure_tiles()
    d, most, wide = tokens.shape[1], counts[:, -1].max(), _widest(bounds, queries)
    space = spaces(packed, tokens, own, most, wide)
    tall, broad = shape(packed, wide, 1, d)
    sims_space, state_space = aligned(max(tall, whole(most)) * broad, tokens), np.empty(rows.max() * wide, np.float32)
    score_space = np.empty(wide, np.float32)
    for i in range(starts.shape[0]):
        patches = own[starts[i] : starts[i] + own_counts[i]]
        write(packed, patches, filler[filler_bounds[i] : filler_bounds[i + 1]], space)
        first = pairs[i]
        while first < pairs[i + 1]:
            last, used = _group(bounds, queries[: pairs[i + 1]], first)
            tall, broad = shape(packed, used, counts[i, -1], d)
            sims = sims_space[: tall * broad].reshape((tall, broad))
            compare(product, tokens, packed, bounds, queries[first:last], space, sims)
            scores = score_space[:used]  # lanes beyond them are there for the product alone
            for a in range(rows.shape[0]):
                state = state_space[: rows[a] * used].reshape((rows[a], used))
                update, finish = update_at(addresses[a, 1]), finish_at(addresses[a, 2])
                start_at(addresses[a, 0])(state, parameters[a])
                read = 0
                for length in range(counts.shape[1]):
                    update(sims, read, counts[i, length], state, parameters[a])
                    read = counts[i, length]
                    finish(state, read, scores, parameters[a])
                    _emit(scores, bounds, queries[first:last], first, out[a, length])
            first = last
    if len(packed):
        release_tiles()


@compiled(any_order=True)
def _attack(
    own: np.ndarray,
    starts: np.ndarray,
    patches: np.ndarray,
    tokens: np.ndarray,
    packed: np.ndarray,
    bounds: np.ndarray,
    pairs: np.ndarray,
    queries: np.ndarray,
    banks: np.ndarray,
    picks: np.ndarray,
    counts: np.ndarray,
    addresses: np.ndarray,
    rows: np.ndarray,
    parameters: np.ndarray,
    product: int,
    out: np.ndarray,
    shares: np.ndarray,
) -> None:
    """As _score, for whole documents, each pair's stream going on with its picks: (N, K) into banks.

    counts: int64 (K), ascending; out, shares: float32 (A, K, N).
    """
    if len(packed):
        configure_tiles()
    d, most = tokens.shape[1], picks.shape[1]
    space = spaces(packed, tokens, own, patches.max(), _widest(bounds, queries))
    for i in range(starts.shape[0]):
        n = patches[i]
        write(packed, own[starts[i] : starts[i] + n], own[:0], space)
        first = pairs[i]
        while first < pairs[i + 1]:
            last, used = _group(bounds, queries[: pairs[i + 1]], first)
            tall, wide = shape(packed, used, n, d)
            sims = aligned((tall + most) * wide, tokens).reshape((tall + most, wide))
            compare(product, tokens, packed, bounds, queries[first:last], space, sims[:tall])
            _inject(sims, n, banks, bounds, queries[first:last], picks[first:last])
            scores = np.empty(used, np.float32)
            for a in range(rows.shape[0]):
                state = np.empty((rows[a], used), np.float32)
                update, finish = update_at(addresses[a, 1]), finish_at(addresses[a, 2])
                start_at(addresses[a, 0])(state, parameters[a])
                update(sims, 0, n, state, parameters[a])
                clean, read = state.copy(), n
                for k in range(counts.shape[0]):
                    update(sims, read, n + counts[k], state, parameters[a])
                    read = n + counts[k]
                    finish(state, read, scores, parameters[a])
                    _emit(scores, bounds, queries[first:last], first, out[a, k])
                    if counts[k] == 0:  # nothing is injected, so nothing is held, whatever 1 − x/x rounds to
                        scores[:] = np.float32(0.0)
                    else:
                        share_at(addresses[a, 3])(clean, n, state, read, scores, parameters[a])
                    _emit(scores, bounds, queries[first:last], first, shares[a, k])
            first = last
    if len(packed):
        release_tiles()


@inlined
def _inject(
    sims: np.ndarray, start: int, banks: np.ndarray, bounds: np.ndarray, queries: np.ndarray, picks: np.ndarray
) -> None:
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
