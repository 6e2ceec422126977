"""What a compiled reduce is, and the arithmetic the kernels share.

W stands for the lanes: the stacked query tokens of every query that wants the document.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.errors import NumbaExperimentalFeatureWarning
from numba.extending import intrinsic

from harness.aggregators import Aggregator

warnings.filterwarnings("ignore", category=NumbaExperimentalFeatureWarning)  # functions held in tuples

_matrix = types.Array(types.float32, 2, "C")
_vector = types.Array(types.float32, 1, "C")

START = types.void(_matrix, types.float64)
"""start(state (rows, W), parameter): the state of an empty stream."""
UPDATE = types.void(_matrix, types.int64, types.int64, _matrix, types.float64)
"""update(sims (p, ≥W), first, last, state (rows, W), parameter): merge patches first … last − 1 into the state."""
FINISH = types.void(_matrix, types.int64, _vector, types.float64)
"""finish(state, patches seen, scores (W), parameter): one score a lane."""

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz", "arcp", "reassoc"}, "error_model": "numpy"}
LOWEST = np.float32(-3.0e38)


SHARE = types.void(_matrix, types.int64, _matrix, types.int64, _vector, types.float64)
"""share(own state, own patches, merged state, all patches, shares (W), parameter): Aggregator.share, a lane."""

SPREAD = types.void(_matrix, _matrix, _vector, types.float64)
"""spread(sims (p, W), state of all p patches, slopes (W), parameter): overwrite sims by slopes[w]·∂score_w/∂sims, and
the state by scratch. A tie goes to the first patch."""


@dataclass(frozen=True)
class Kernel:
    """An operator's compiled form; ``rows`` of state a lane and one ``parameter`` may depend on the operator's own."""

    start: Callable
    update: Callable
    finish: Callable
    share: Callable
    spread: Callable
    rows: Callable[[Any], int]
    parameter: Callable[[Any], float]


KERNELS: dict[type[Aggregator], Kernel] = {}


def kernel_of(aggregator: Aggregator) -> Kernel | None:
    """The kernel registered for exactly this operator's class."""
    return KERNELS.get(type(aggregator))


def compiled(signature: Any) -> Callable[[Callable], Callable]:
    """Compile at import, once a machine: the result is cached beside the file."""
    return nb.njit(signature, cache=True, **OPTIONS)


def _bitcast(typing_context, bits):
    """The float32 whose bits an int32 holds."""

    def lower(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), lower


_as_float: Callable = intrinsic(_bitcast)


@nb.njit(inline="always", **OPTIONS)
def exp_nonpositive(x):
    """exp(x) for x ≤ 0, branch-free so that a loop vectorises; relative error below 1e-5, never under 2^−126.

    2^k · 2^f with k whole and |f| ≤ ½; 2^f by its Taylor polynomial of degree 6.
    """
    y = max(x * np.float32(1.4426950408889634), np.float32(-126.0))
    k = np.floor(y + np.float32(0.5))
    f = y - k
    p = np.float32(1.5403530e-4)
    p = p * f + np.float32(1.3333558e-3)
    p = p * f + np.float32(9.6181291e-3)
    p = p * f + np.float32(5.5504109e-2)
    p = p * f + np.float32(2.4022651e-1)
    p = p * f + np.float32(6.9314718e-1)
    p = p * f + np.float32(1.0)
    return p * _as_float(np.int32((np.int32(k) + np.int32(127)) << np.int32(23)))


@nb.njit(inline="always", **OPTIONS)
def widen(half):
    """A finite float16, given by its uint16 bits, as float32: exponent and mantissa shifted, then rescaled by 2^112."""
    bits = np.int32(half)
    magnitude = _as_float(np.int32((bits & np.int32(0x7FFF)) << np.int32(13))) * np.float32(2.0**112)
    return -magnitude if bits & np.int32(0x8000) else magnitude
