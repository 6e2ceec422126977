"""The operators that sum exp((s − peak)/τ): softmax, log-sum-exp, log-mean-exp, at any τ an aggregator takes.

The peak of a run of patches is found first, the sums so far are brought to it, then the run is added.
State rows: peak, Σ e, for softmax Σ e·s, and one of scratch.
"""

import numba as nb
import numpy as np

from harness.aggregators.logsumexp import LogMeanExp, LogSumExp
from harness.aggregators.softmax import Softmax
from harness.scoring.kernels.base import (
    FINISH,
    KERNELS,
    LOWEST,
    OPTIONS,
    SHARE,
    START,
    UPDATE,
    Kernel,
    compiled,
    exp_nonpositive,
)


@compiled(START)
def start(state, _):
    state[:, :] = np.float32(0.0)
    state[0, :] = LOWEST


@nb.njit(inline="always", **OPTIONS)
def _raise_peak(sims, first, last, state, inverse):
    """Bring the sums to the peak of what was seen and what comes; the last row of the state is scratch."""
    scratch = state.shape[0] - 1
    state[scratch, :] = state[0]
    for p in range(first, last):
        for w in range(sims.shape[1]):
            state[scratch, w] = max(state[scratch, w], sims[p, w])
    for row in range(1, scratch):
        for w in range(sims.shape[1]):
            state[row, w] *= exp_nonpositive((state[0, w] - state[scratch, w]) * inverse)
    state[0, :] = state[scratch]


@compiled(UPDATE)
def update_softmax(sims, first, last, state, tau):
    inverse = np.float32(1.0 / tau)
    _raise_peak(sims, first, last, state, inverse)
    for p in range(first, last):
        for w in range(sims.shape[1]):
            weight = exp_nonpositive((sims[p, w] - state[0, w]) * inverse)
            state[1, w] += weight
            state[2, w] += weight * sims[p, w]


@compiled(UPDATE)
def update_sum(sims, first, last, state, tau):
    inverse = np.float32(1.0 / tau)
    _raise_peak(sims, first, last, state, inverse)
    for p in range(first, last):
        for w in range(sims.shape[1]):
            state[1, w] += exp_nonpositive((sims[p, w] - state[0, w]) * inverse)


@compiled(FINISH)
def finish_softmax(state, patches, scores, tau):
    for w in range(scores.shape[0]):
        scores[w] = state[2, w] / state[1, w]


@compiled(FINISH)
def finish_logsumexp(state, patches, scores, tau):
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] + np.float32(tau) * np.log(state[1, w])


@compiled(FINISH)
def finish_logmeanexp(state, patches, scores, tau):
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] + np.float32(tau) * np.log(state[1, w] / np.float32(patches))


@compiled(SHARE)
def share(own, own_patches, merged, patches, shares, tau):
    inverse = np.float32(1.0 / tau)
    for w in range(shares.shape[0]):
        kept = own[1, w] * exp_nonpositive((own[0, w] - merged[0, w]) * inverse)
        shares[w] = min(max(np.float32(1.0) - kept / merged[1, w], np.float32(0.0)), np.float32(1.0))


def _tau(aggregator) -> float:
    return aggregator.tau


KERNELS[Softmax] = Kernel(start, update_softmax, finish_softmax, share, rows=lambda _: 4, parameter=_tau)
KERNELS[LogSumExp] = Kernel(start, update_sum, finish_logsumexp, share, rows=lambda _: 3, parameter=_tau)
KERNELS[LogMeanExp] = Kernel(start, update_sum, finish_logmeanexp, share, rows=lambda _: 3, parameter=_tau)
