"""The mean: a running sum a lane."""

import numpy as np

from harness.aggregators.mean import Mean
from harness.scoring.kernels.base import FINISH, KERNELS, SHARE, SPREAD, START, UPDATE, Kernel, compiled


@compiled(START)
def start(state, _):
    state[0, :] = np.float32(0.0)


@compiled(UPDATE)
def update(sims, first, last, state, _):
    for p in range(first, last):
        for w in range(state.shape[1]):
            state[0, w] += sims[p, w]


@compiled(FINISH)
def finish(state, patches, scores, _):
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] / np.float32(patches)


@compiled(SHARE)
def share(own, own_patches, merged, patches, shares, _):
    shares[:] = np.float32(1.0 - own_patches / patches)


@compiled(SPREAD)
def spread(sims, state, slopes, _):
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            sims[p, w] = slopes[w] / np.float32(sims.shape[0])


KERNELS[Mean] = Kernel(start, update, finish, share, spread, rows=lambda mean: 1, parameter=lambda mean: 0.0)
