"""MaxSim: a running maximum a lane."""

import numpy as np

from harness.aggregators.maxsim import MaxSim
from harness.scoring.kernels.base import (
    KERNELS,
    LOWEST,
    Kernel,
    raise_peak,
)
from harness.scoring.llvm import compiled

TAKEN = np.float32(3.0e38)  # above any similarity


@compiled()
def start(state: np.ndarray, _: float) -> None:
    state[0, :] = LOWEST


@compiled()
def update(sims: np.ndarray, first: int, last: int, state: np.ndarray, _: float) -> None:
    raise_peak(sims, first, last, state[0])


@compiled()
def finish(state: np.ndarray, patches: int, scores: np.ndarray, _: float) -> None:
    scores[:] = state[0]


@compiled()
def share(own: np.ndarray, own_patches: int, merged: np.ndarray, patches: int, shares: np.ndarray, _: float) -> None:
    for w in range(shares.shape[0]):
        shares[w] = np.float32(1.0) if merged[0, w] > own[0, w] else np.float32(0.0)


@compiled()
def backward(sims: np.ndarray, state: np.ndarray, slopes: np.ndarray, _: float) -> None:
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            wins = sims[p, w] >= state[0, w]
            state[0, w] = TAKEN if wins else state[0, w]
            sims[p, w] = slopes[w] if wins else np.float32(0.0)


KERNELS[MaxSim] = Kernel(start, update, finish, share, backward, rows=lambda maxsim: 1, parameter=lambda maxsim: 0.0)
