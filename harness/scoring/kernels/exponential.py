"""The operators that sum exp((s − peak)/τ): softmax, log-sum-exp, log-mean-exp, at any τ an aggregator takes.

The peak of a run of patches is found first, the sums so far are brought to it, then the run is added, four patches for
each time the sums are stored. Powers are of two, similarities divided by τ·log 2.
State rows: peak, Σ e, for softmax Σ e·s, and one of scratch.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.aggregators.logmeanexp import LogMeanExp
from harness.aggregators.logsumexp import LogSumExp
from harness.aggregators.softmax import Softmax
from harness.scoring.kernels.base import (
    KERNELS,
    LOWEST,
    Kernel,
    exp2_nonpositive,
    log_positive,
    raise_peak,
)
from harness.scoring.llvm import LANES, WIDE, add_four, compiled, inlined, vectorised, weigh_four

LOG2_E = 1.4426950408889634


@compiled()
def start(state: np.ndarray, _: float) -> None:
    state[:, :] = np.float32(0.0)
    state[0, :] = LOWEST


@inlined
def _settle_peak(sims: np.ndarray, first: int, last: int, state: np.ndarray, inverse: Any) -> None:
    """Bring the sums to the peak of what was seen and what comes; the last row of the state is scratch."""
    scratch = state.shape[0] - 1
    state[scratch, :] = state[0]
    raise_peak(sims, first, last, state[scratch])
    for row in range(1, scratch):
        for w in range(state.shape[1]):
            state[row, w] *= exp2_nonpositive(state[0, w] - state[scratch, w], inverse)
    state[0, :] = state[scratch]


@compiled(cache=False)
def _weigh(
    sims: np.ndarray, first: int, last: int, peaks: np.ndarray, totals: np.ndarray, weighted: np.ndarray, inverse: Any
) -> None:
    """Add a run's weights to totals, and each times its similarity to weighted: rows of a state, apart."""
    vectorised()
    whole, wide = last - (last - first) % 4, peaks.shape[0] // LANES * LANES if WIDE else 0
    stride = sims.shape[1] * sims.itemsize
    for p in range(first, whole, 4):
        for w in range(0, wide, LANES):
            weigh_four(
                sims.ctypes.data + p * stride + w * 4,
                stride,
                peaks.ctypes.data + w * 4,
                totals.ctypes.data + w * 4,
                weighted.ctypes.data + w * 4,
                inverse,
            )
        for w in range(wide, peaks.shape[0]):
            peak, a, b, c, d = peaks[w], sims[p, w], sims[p + 1, w], sims[p + 2, w], sims[p + 3, w]
            to_a, to_b = exp2_nonpositive(a - peak, inverse), exp2_nonpositive(b - peak, inverse)
            to_c, to_d = exp2_nonpositive(c - peak, inverse), exp2_nonpositive(d - peak, inverse)
            totals[w] += (to_a + to_b) + (to_c + to_d)
            weighted[w] = to_a * a + (to_b * b + (to_c * c + (to_d * d + weighted[w])))
    for p in range(whole, last):
        for w in range(peaks.shape[0]):
            weight = exp2_nonpositive(sims[p, w] - peaks[w], inverse)
            totals[w] += weight
            weighted[w] += weight * sims[p, w]


@compiled(cache=False)
def _add(sims: np.ndarray, first: int, last: int, peaks: np.ndarray, totals: np.ndarray, inverse: Any) -> None:
    """Add a run's weights to totals: rows of a state, apart."""
    vectorised()
    whole, wide = last - (last - first) % 4, peaks.shape[0] // LANES * LANES if WIDE else 0
    stride = sims.shape[1] * sims.itemsize
    for p in range(first, whole, 4):
        for w in range(0, wide, LANES):
            add_four(
                sims.ctypes.data + p * stride + w * 4,
                stride,
                peaks.ctypes.data + w * 4,
                totals.ctypes.data + w * 4,
                inverse,
            )
        for w in range(wide, peaks.shape[0]):
            peak, a, b, c, d = peaks[w], sims[p, w], sims[p + 1, w], sims[p + 2, w], sims[p + 3, w]
            pair = exp2_nonpositive(a - peak, inverse) + exp2_nonpositive(b - peak, inverse)
            totals[w] += pair + (exp2_nonpositive(c - peak, inverse) + exp2_nonpositive(d - peak, inverse))
    for p in range(whole, last):
        for w in range(peaks.shape[0]):
            totals[w] += exp2_nonpositive(sims[p, w] - peaks[w], inverse)


@compiled()
def update_softmax(sims: np.ndarray, first: int, last: int, state: np.ndarray, tau: float) -> None:
    vectorised()
    inverse = np.float32(LOG2_E / tau)
    _settle_peak(sims, first, last, state, inverse)
    _weigh(sims, first, last, state[0], state[1], state[2], inverse)


@compiled()
def update_sum(sims: np.ndarray, first: int, last: int, state: np.ndarray, tau: float) -> None:
    vectorised()
    inverse = np.float32(LOG2_E / tau)
    _settle_peak(sims, first, last, state, inverse)
    _add(sims, first, last, state[0], state[1], inverse)


@compiled()
def finish_softmax(state: np.ndarray, patches: int, scores: np.ndarray, tau: float) -> None:
    for w in range(scores.shape[0]):
        scores[w] = state[2, w] / state[1, w]


@compiled()
def finish_logsumexp(state: np.ndarray, patches: int, scores: np.ndarray, tau: float) -> None:
    vectorised()
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] + np.float32(tau) * log_positive(state[1, w])


@compiled()
def finish_logmeanexp(state: np.ndarray, patches: int, scores: np.ndarray, tau: float) -> None:
    vectorised()
    for w in range(scores.shape[0]):
        scores[w] = state[0, w] + np.float32(tau) * log_positive(state[1, w] / np.float32(patches))


@compiled()
def share(own: np.ndarray, own_patches: int, merged: np.ndarray, patches: int, shares: np.ndarray, tau: float) -> None:
    inverse = np.float32(LOG2_E / tau)
    for w in range(shares.shape[0]):
        kept = own[1, w] * exp2_nonpositive(own[0, w] - merged[0, w], inverse)
        shares[w] = min(max(np.float32(1.0) - kept / merged[1, w], np.float32(0.0)), np.float32(1.0))


@compiled()
def backward_softmax(sims: np.ndarray, state: np.ndarray, slopes: np.ndarray, tau: float) -> None:
    inverse, scale = np.float32(1.0 / tau), np.float32(LOG2_E / tau)
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            weight = exp2_nonpositive(sims[p, w] - state[0, w], scale) / state[1, w]
            steep = np.float32(1.0) + (sims[p, w] - state[2, w] / state[1, w]) * inverse
            sims[p, w] = slopes[w] * weight * steep


@compiled()
def backward_sum(sims: np.ndarray, state: np.ndarray, slopes: np.ndarray, tau: float) -> None:
    inverse = np.float32(LOG2_E / tau)
    for p in range(sims.shape[0]):
        for w in range(sims.shape[1]):
            sims[p, w] = slopes[w] * exp2_nonpositive(sims[p, w] - state[0, w], inverse) / state[1, w]


def _kernel(
    update: Callable[..., None], finish: Callable[..., None], backward: Callable[..., None], rows: int
) -> Kernel:
    return Kernel(
        start, update, finish, share, backward, rows=lambda _: rows, parameter=lambda aggregator: aggregator.tau
    )


KERNELS[Softmax] = _kernel(update_softmax, finish_softmax, backward_softmax, rows=4)
KERNELS[LogSumExp] = _kernel(update_sum, finish_logsumexp, backward_sum, rows=3)
KERNELS[LogMeanExp] = _kernel(update_sum, finish_logmeanexp, backward_sum, rows=3)
