"""The mean: a running sum a lane."""

import numpy as np

from harness.aggregators.mean import Mean
from harness.scoring.kernels.base import KERNELS, Kernel
from harness.scoring.llvm import compiled


@compiled()
def start(state: np.ndarray, _: float) -> None:
    state[0, :] = np.float32(0.0)


@compiled()
def update(sims: np.ndarray, first: int, last: int, state: np.ndarray, _: float) -> None:
    for p in range(first, last):
        for w in range(state.shape[1]):
            state[0, w] += sims[p, w]


@compiled()
def finish(state: np.ndarray, patches: int, scores: np.ndarray, _: float) -> None:
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] / np.float32(patches)


@compiled()
def share(own: np.ndarray, own_patches: int, merged: np.ndarray, patches: int, shares: np.ndarray, _: float) -> None:
    shares[:] = np.float32(1.0 - own_patches / patches)


@compiled()
def backward(sims: np.ndarray, state: np.ndarray, slopes: np.ndarray, _: float) -> None:
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            sims[p, w] = slopes[w] / np.float32(sims.shape[0])


KERNELS[Mean] = Kernel(start, update, finish, share, backward, rows=lambda mean: 1, parameter=lambda mean: 0.0)
