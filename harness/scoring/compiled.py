"""The compiled pass over a run of documents: multiply, and reduce while the block is in cache; no Python inside."""

from __future__ import annotations

import numba as nb
import numpy as np

from harness.scoring import tiles
from harness.scoring.kernels.base import ANY_ORDER, OPTIONS, finish_at, start_at, update_at
from harness.scoring.products import compare, shape, spaces, whole, write
from harness.scoring.tiles import room

LANES = 512  # query tokens multiplied at once; a block of 256 patches is then half a megabyte, inside a core's cache


@nb.njit(inline="always", **OPTIONS)
def emit(scores, bounds, queries, at, out):
    """Sum the scores of each query's tokens into out (pairs), from pair ``at`` on."""
    lane = 0
    for number in range(queries.shape[0]):
        total = 0.0
        for _ in range(bounds[queries[number]], bounds[queries[number] + 1]):
            total += scores[lane]
            lane += 1
        out[at + number] = np.float32(total)


@nb.njit(inline="always", **OPTIONS)
def group(bounds, wanting, first):
    """How many of the queries from ``first`` on fit LANES together: at least one. Returns (last, lanes)."""
    last, used = first, 0
    while last < wanting.shape[0]:
        size = bounds[wanting[last] + 1] - bounds[wanting[last]]
        if last > first and used + size > LANES:
            break
        used += size
        last += 1
    return last, whole(used)


@nb.njit(inline="always", **OPTIONS)
def widest(bounds, queries):
    """The most lanes any group of a run can have."""
    longest = 0
    for query in queries:
        longest = max(longest, bounds[query + 1] - bounds[query])
    return max(LANES, whole(longest))


@nb.njit(cache=True, **ANY_ORDER)
def score_run(
    own,
    starts,
    kept,
    filler,
    filler_bounds,
    counts,
    tokens,
    packed,
    bounds,
    pairs,
    queries,
    addresses,
    rows,
    parameters,
    product,
    out,
):
    """Scores of every (document, query) pair of a run of documents, for every operator and length.

    own: uint16 (P, d), float16 bits; starts, kept: int64 (n), a document's own patches; filler: uint16 (F, d) and
    filler_bounds: int64 (n + 1); counts: int64 (n, L), non-decreasing along L; tokens: float32 (T, d), packed, product:
    see compare; bounds: int64 (Q + 1); pairs: int64 (n + 1) into queries: int64 (N); addresses: int64 (A, 5), rows,
    parameters: (A), of the operators' kernels; out: float32 (A, L, N).
    """
    if len(packed):
        tiles.configure()
    d, most, wide = tokens.shape[1], counts[:, -1].max(), widest(bounds, queries)
    space = spaces(packed, tokens, own, most, wide)
    tall, broad = shape(packed, wide, 1, d)
    sims_space, state_space = room(max(tall, whole(most)) * broad, tokens), np.empty(rows.max() * wide, np.float32)
    score_space = np.empty(wide, np.float32)
    for i in range(starts.shape[0]):
        mine = own[starts[i] : starts[i] + kept[i]]
        write(packed, mine, filler[filler_bounds[i] : filler_bounds[i + 1]], space)
        first = pairs[i]
        while first < pairs[i + 1]:
            last, used = group(bounds, queries[: pairs[i + 1]], first)
            tall, broad = shape(packed, used, counts[i, -1], d)
            sims = sims_space[: tall * broad].reshape((tall, broad))
            compare(product, tokens, packed, bounds, queries[first:last], space, sims)
            scores = score_space[:used]  # lanes beyond them are there for the product alone
            for a in range(rows.shape[0]):
                state = state_space[: rows[a] * used].reshape((rows[a], used))
                update, finish = update_at(addresses[a, 1]), finish_at(addresses[a, 2])
                start_at(addresses[a, 0])(state, parameters[a])
                seen = 0
                for length in range(counts.shape[1]):
                    update(sims, seen, counts[i, length], state, parameters[a])
                    seen = counts[i, length]
                    finish(state, seen, scores, parameters[a])
                    emit(scores, bounds, queries[first:last], first, out[a, length])
            first = last
    if len(packed):
        tiles.release()
