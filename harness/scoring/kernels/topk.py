"""Top-k: a sorted column of the k largest a lane. New values sink through it four at a time, a level of four rows at a
time: sorted, they meet the level as in a bitonic merge; the larger four stay, the smaller four go on down."""

from typing import Any

import numpy as np

from harness.aggregators.topk import TopK
from harness.scoring.kernels.base import (
    KERNELS,
    LOWEST,
    Kernel,
)
from harness.scoring.llvm import compiled, inlined, larger, smaller, vectorised

LEVEL = 4  # rows


@compiled()
def start(state: np.ndarray, _: float) -> None:
    state[:, :] = LOWEST


@inlined
def _halved(a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    """A bitonic sequence of four in descending order."""
    e, f, g, h = larger(a, c), larger(b, d), smaller(a, c), smaller(b, d)
    return larger(e, f), smaller(e, f), larger(g, h), smaller(g, h)


@inlined
def _ordered(a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    """Any four in descending order."""
    e, f, g, h = larger(a, b), smaller(a, b), larger(c, d), smaller(c, d)
    i, j = smaller(e, g), larger(f, h)
    return larger(e, g), larger(i, j), smaller(i, j), smaller(f, h)


@inlined
def _sink(state: np.ndarray, level: int, w: int, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    """Four descending values meet a level of one lane; returns the four that go on, descending."""
    p, q, r, s = state[level, w], state[level + 1, w], state[level + 2, w], state[level + 3, w]
    kept = _halved(larger(d, p), larger(c, q), larger(b, r), larger(a, s))
    state[level, w], state[level + 1, w], state[level + 2, w], state[level + 3, w] = kept
    return _halved(smaller(d, p), smaller(c, q), smaller(b, r), smaller(a, s))


@inlined
def _go_on(state: np.ndarray) -> None:
    """What lies in the last level, on its way down, meets every level but the first."""
    carried = state.shape[0] - LEVEL
    for level in range(LEVEL, carried, LEVEL):
        for w in range(state.shape[1]):
            a, b, c, d = state[carried, w], state[carried + 1, w], state[carried + 2, w], state[carried + 3, w]
            left = _sink(state, level, w, a, b, c, d)
            state[carried, w], state[carried + 1, w], state[carried + 2, w], state[carried + 3, w] = left


@compiled()
def update(sims: np.ndarray, first: int, last: int, state: np.ndarray, _: float) -> None:
    vectorised()
    carried, whole = state.shape[0] - LEVEL, last - (last - first) % LEVEL
    for p in range(first, whole, LEVEL):
        if carried > LEVEL:
            for w in range(state.shape[1]):
                a, b, c, d = _ordered(sims[p, w], sims[p + 1, w], sims[p + 2, w], sims[p + 3, w])
                left = _sink(state, 0, w, a, b, c, d)
                state[carried, w], state[carried + 1, w], state[carried + 2, w], state[carried + 3, w] = left
            _go_on(state)
        else:
            for w in range(state.shape[1]):
                a, b, c, d = _ordered(sims[p, w], sims[p + 1, w], sims[p + 2, w], sims[p + 3, w])
                _sink(state, 0, w, a, b, c, d)
    for p in range(whole, last):
        for w in range(state.shape[1]):
            left = _sink(state, 0, w, sims[p, w], LOWEST, LOWEST, LOWEST)
            state[carried, w], state[carried + 1, w], state[carried + 2, w], state[carried + 3, w] = left
        _go_on(state)


@compiled()
def finish(state: np.ndarray, patches: int, scores: np.ndarray, k: float) -> None:
    best = min(int(k), patches)
    scores[:] = state[0]
    for level in range(1, best):
        for w in range(scores.shape[0]):
            scores[w] += state[level, w]
    for w in range(scores.shape[0]):
        scores[w] /= np.float32(best)


@compiled()
def share(own: np.ndarray, own_patches: int, merged: np.ndarray, patches: int, shares: np.ndarray, k: float) -> None:
    best = min(int(k), patches)
    for w in range(shares.shape[0]):
        stayed = 0
        while stayed < min(best, own_patches) and own[stayed, w] >= merged[best - 1, w]:
            stayed += 1
        shares[w] = np.float32(1.0 - stayed / best)


@compiled()
def backward(sims: np.ndarray, state: np.ndarray, slopes: np.ndarray, k: float) -> None:
    best, left = min(int(k), sims.shape[0]), state.shape[0] - 1
    last = best - 1
    for w in range(sims.shape[1]):
        state[left, w] = np.float32(0.0)  # how many of the selected tie with the last of them
        for level in range(best):
            state[left, w] += np.float32(1.0) if state[level, w] <= state[last, w] else np.float32(0.0)
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            tied = sims[p, w] == state[last, w] and state[left, w] > np.float32(0.0)
            state[left, w] -= np.float32(1.0) if tied else np.float32(0.0)
            chosen = tied or sims[p, w] > state[last, w]
            sims[p, w] = slopes[w] / np.float32(best) if chosen else np.float32(0.0)


def _rows(topk: TopK) -> int:
    return -(-topk.k // LEVEL) * LEVEL + LEVEL


KERNELS[TopK] = Kernel(start, update, finish, share, backward, rows=_rows, parameter=lambda topk: float(topk.k))
