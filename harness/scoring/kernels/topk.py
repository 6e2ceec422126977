"""Top-k: a sorted column of the k largest a lane. A new value sinks through it by exchanges, four levels a pass."""

import numpy as np

from harness.aggregators.topk import TopK
from harness.scoring.kernels.base import FINISH, KERNELS, LOWEST, SHARE, SPREAD, START, UPDATE, Kernel, compiled


@compiled(START)
def start(state, _):
    state[:, :] = LOWEST


@compiled(UPDATE)
def update(sims, first, last, state, _):
    sinking = state.shape[0] - 1  # the last row carries the values on their way down
    for p in range(first, last):
        for w in range(state.shape[1]):
            state[sinking, w] = sims[p, w]
        for level in range(0, sinking, 4):
            for w in range(state.shape[1]):
                value = state[sinking, w]
                for step in range(4):
                    held = state[level + step, w]
                    state[level + step, w] = max(held, value)
                    value = min(held, value)
                state[sinking, w] = value


@compiled(FINISH)
def finish(state, patches, scores, k):
    best = min(np.int64(k), patches)
    scores[:] = state[0]
    for level in range(1, best):
        for w in range(scores.shape[0]):
            scores[w] += state[level, w]
    for w in range(scores.shape[0]):
        scores[w] /= np.float32(best)


@compiled(SHARE)
def share(own, own_patches, merged, patches, shares, k):
    best = min(np.int64(k), patches)
    for w in range(shares.shape[0]):
        stayed = 0
        while stayed < min(best, own_patches) and own[stayed, w] >= merged[best - 1, w]:
            stayed += 1
        shares[w] = np.float32(1.0 - stayed / best)


@compiled(SPREAD)
def spread(sims, state, slopes, k):
    best, left = min(np.int64(k), sims.shape[0]), state.shape[0] - 1
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


def _rows(topk) -> int:
    return -(-topk.k // 4) * 4 + 1


KERNELS[TopK] = Kernel(start, update, finish, share, spread, rows=_rows, parameter=lambda topk: float(topk.k))
