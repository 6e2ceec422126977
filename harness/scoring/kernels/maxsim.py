"""MaxSim: a running maximum a lane."""

import numpy as np

from harness.aggregators.maxsim import MaxSim
from harness.scoring.kernels.base import (
    FINISH,
    KERNELS,
    LOWEST,
    SHARE,
    SPREAD,
    START,
    UPDATE,
    Kernel,
    compiled,
    raise_peak,
)

TAKEN = np.float32(3.0e38)  # above any similarity


@compiled(START)
def start(state, _):
    state[0, :] = LOWEST


@compiled(UPDATE)
def update(sims, first, last, state, _):
    raise_peak(sims, first, last, state[0])


@compiled(FINISH)
def finish(state, patches, scores, _):
    scores[:] = state[0]


@compiled(SHARE)
def share(own, own_patches, merged, patches, shares, _):
    for w in range(shares.shape[0]):
        shares[w] = np.float32(1.0) if merged[0, w] > own[0, w] else np.float32(0.0)


@compiled(SPREAD)
def spread(sims, state, slopes, _):
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            wins = sims[p, w] >= state[0, w]
            state[0, w] = TAKEN if wins else state[0, w]
            sims[p, w] = slopes[w] if wins else np.float32(0.0)


KERNELS[MaxSim] = Kernel(start, update, finish, share, spread, rows=lambda maxsim: 1, parameter=lambda maxsim: 0.0)
