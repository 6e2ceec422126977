"""What a compiled reduce is, and the arithmetic the kernels share.

W stands for the lanes: the stacked query tokens of every query that wants the document.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.aggregators import Aggregator
from harness.scoring.llvm import (
    address,
    as_bits,
    as_float,
    at_address,
    in_order,
    inlined,
    larger,
    multiply_add,
    vectorised,
)

START = "void(float32[:, ::1], float64)"
"""start(state (rows, W), parameter): the state of an empty stream."""
UPDATE = "void(float32[:, ::1], int64, int64, float32[:, ::1], float64)"
"""update(sims (p, ≥W), first, last, state (rows, W), parameter): merge patches first … last − 1 into the state."""
FINISH = "void(float32[:, ::1], int64, float32[::1], float64)"
"""finish(state, patches seen, scores (W), parameter): one score a lane."""
SHARE = "void(float32[:, ::1], int64, float32[:, ::1], int64, float32[::1], float64)"
"""share(own state, own patches, merged state, all patches, shares (W), parameter): Aggregator.share, a lane."""
BACKWARD = "void(float32[:, ::1], float32[:, ::1], float32[::1], float64)"
"""backward(sims (p, W), state of all p patches, slopes (W), parameter): overwrite sims by slopes[w]·∂score_w/∂sims, and
the state by scratch. A tie goes to the first patch."""

LOWEST = np.float32(-3.0e38)

start_at, update_at, finish_at, share_at, backward_at = map(at_address, (START, UPDATE, FINISH, SHARE, BACKWARD))


@dataclass(frozen=True)
class Kernel:
    """An operator's compiled form; ``rows`` of state a lane and one ``parameter`` may depend on the operator's own."""

    start: Callable[..., None]
    update: Callable[..., None]
    finish: Callable[..., None]
    share: Callable[..., None]
    backward: Callable[..., None]
    rows: Callable[[Any], int]
    parameter: Callable[[Any], float]

    @functools.cached_property
    def addresses(self) -> np.ndarray:
        """Where the machine code of start, update, finish, share and backward begins: int64 (5).

        A compiled pass takes these: handing over the functions themselves costs milliseconds a call.
        """
        functions = self.start, self.update, self.finish, self.share, self.backward
        return np.array(list(map(address, functions, (START, UPDATE, FINISH, SHARE, BACKWARD))), np.int64)


KERNELS: dict[type[Aggregator], Kernel] = {}


def kernel_of(aggregator: Aggregator) -> Kernel | None:
    """The kernel registered for exactly this operator's class."""
    return KERNELS.get(type(aggregator))


WHOLE = np.float32(1.5 * 2**23)  # a float32 this large has no room for fractions: its last bits count ones


@inlined
def exp2_nonpositive(x: Any, scale: Any) -> Any:
    """2^(x·scale) for x ≤ 0 < scale, branch-free so that a loop vectorises; never under 2^−126.

    Relative error below 5e-7. 2^k · 2^f with k whole and |f| ≤ ½: 2^f by the polynomial of degree 5 that is 1 at 0 and
    whose largest relative error is least, k added to its exponent. k is what adding WHOLE rounds to; with sums in any
    order nothing would be rounded, so it is not compiled there.
    """
    in_order()
    y = larger(x, np.float32(-125.0) / scale)
    k = multiply_add(y, scale, WHOLE)
    f = multiply_add(y, scale, WHOLE - k)
    p = np.float32(1.32647273e-3)
    p = p * f + np.float32(9.67151299e-3)
    p = p * f + np.float32(5.55073358e-2)
    p = p * f + np.float32(2.40222424e-1)
    p = p * f + np.float32(6.93147004e-1)
    p = p * f + np.float32(1.0)
    return as_float(np.int32(as_bits(p) + np.int32(as_bits(k) << np.int32(23))))


@inlined
def log_positive(x: Any) -> Any:
    """log x of a normal x > 0, branch-free so that a loop vectorises, where libm's would be called lane by lane.

    Error below 1e-7, of a result beyond ±1 that share. x = 2^e · (1 + f) with 1 + f in √½ … √2, log(1 + f) as Cephes'
    logf.
    """
    e = (as_bits(x) - np.int32(0x3F3504F3)) >> np.int32(23)
    f = as_float(np.int32(as_bits(x) - (e << np.int32(23)))) - np.float32(1.0)
    p = np.float32(7.0376836292e-2)
    p = p * f - np.float32(1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f - np.float32(1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f - np.float32(1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f - np.float32(2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    return np.float32(e) * np.float32(0.6931471806) + (f + f * f * (p * f - np.float32(0.5)))


@inlined
def raise_peak(sims: np.ndarray, first: int, last: int, peak: np.ndarray) -> None:
    """The largest of each lane so far, and of patches first … last − 1: four of them for each time it is stored."""
    vectorised()
    whole = last - (last - first) % 4
    for p in range(first, whole, 4):
        for w in range(peak.shape[0]):
            pair = larger(sims[p, w], sims[p + 1, w]), larger(sims[p + 2, w], sims[p + 3, w])
            peak[w] = larger(larger(pair[0], pair[1]), peak[w])
    for p in range(whole, last):
        for w in range(peak.shape[0]):
            peak[w] = larger(sims[p, w], peak[w])
