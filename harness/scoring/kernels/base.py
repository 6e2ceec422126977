"""What a compiled reduce is, and the arithmetic the kernels share.

W stands for the lanes: the stacked query tokens of every query that wants the document.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import LoweringError, NumbaExperimentalFeatureWarning
from numba.core.registry import cpu_target
from numba.experimental.function_type import _get_jit_address
from numba.extending import intrinsic

from harness.aggregators import Aggregator
from harness.scoring.caching import keep_by_digest

keep_by_digest()  # before the first function is compiled: every file with compiled functions imports this one

warnings.filterwarnings("ignore", category=NumbaExperimentalFeatureWarning)  # functions that are called by address

_matrix = types.Array(types.float32, 2, "C")
_vector = types.Array(types.float32, 1, "C")

START = types.void(_matrix, types.float64)
"""start(state (rows, W), parameter): the state of an empty stream."""
UPDATE = types.void(_matrix, types.int64, types.int64, _matrix, types.float64)
"""update(sims (p, ≥W), first, last, state (rows, W), parameter): merge patches first … last − 1 into the state."""
FINISH = types.void(_matrix, types.int64, _vector, types.float64)
"""finish(state, patches seen, scores (W), parameter): one score a lane."""

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}
ANY_ORDER = OPTIONS | {"fastmath": OPTIONS["fastmath"] | {"reassoc"}}  # sums may be taken in any order
REORDERING = {"reassoc", "fast"}  # what allows that
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

    @functools.cached_property
    def addresses(self) -> np.ndarray:
        """Where the machine code of start, update, finish, share and spread begins: int64 (5).

        A compiled pass takes these: handing over the functions themselves costs milliseconds a call.
        """
        pairs = (self.start, START), (self.update, UPDATE), (self.finish, FINISH), (self.share, SHARE)
        return np.array([_get_jit_address(*pair) for pair in (*pairs, (self.spread, SPREAD))], np.int64)


KERNELS: dict[type[Aggregator], Kernel] = {}


def kernel_of(aggregator: Aggregator) -> Kernel | None:
    """The kernel registered for exactly this operator's class."""
    return KERNELS.get(type(aggregator))


def compiled(signature: Any) -> Callable[[Callable], Callable]:
    """Compile at import, once a machine: the result is cached, see harness.scoring.caching."""
    return nb.njit(signature, cache=True, **OPTIONS)


def lowered(function: Callable) -> Callable:
    """A function that writes LLVM's instructions itself; numba gives it the context, callers do not."""
    return intrinsic(function)


def target_has(*features: str) -> bool:
    """Whether numba compiles for a processor with all of these features, as LLVM names them."""
    known = str(cpu_target.target_context.codegen().magic_tuple())
    return all(f"+{one}" in known for one in features)


def instruct(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """LLVM's instruction, or intrinsic function, of this name."""
    kind = ir.FunctionType(result, [one.type for one in arguments])
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), arguments)


def splat(builder: Any, number: Any, lanes: int) -> Any:
    """A vector that holds a number in every lane."""
    filled = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    for lane in range(lanes):
        filled = builder.insert_element(filled, number, ir.Constant(ir.IntType(32), lane))
    return filled


def _at(signature: Any) -> Callable:
    """A function of an address: what can be called with this signature there."""
    kind = types.FunctionType(signature)

    def at(_, address):
        def lower(context, builder, signature, arguments):
            made = cgutils.create_struct_proxy(kind)(context, builder)
            made.jit_addr = builder.inttoptr(arguments[0], cgutils.voidptr_t)
            return made._getvalue()

        return kind(types.int64), lower

    return lowered(at)


start_at, update_at, finish_at, share_at, spread_at = map(_at, (START, UPDATE, FINISH, SHARE, SPREAD))


@lowered
def vectorised(_):
    """Called in a function, lets its loops use vectors of 512 bits, where LLVM would keep to 256 on most servers, and
    promises that the numbers of its arrays, float32, share no memory, which LLVM would check before each of its inner
    loops. Nothing is promised of what else an array points to: two rows of a state have the same owner."""

    def lower(context, builder, signature, arguments):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own add knows no such name
        for one in builder.function.args:
            if one.type == ir.FloatType().as_pointer():
                one.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), lower


def _choice(sign: str) -> Callable:
    """One instruction, where Python's max and min, which mind NaN, take two and a mask."""

    def choose(_, first, second):
        def lower(context, builder, signature, arguments):
            return builder.select(builder.fcmp_ordered(sign, *arguments), *arguments)

        return types.float32(types.float32, types.float32), lower

    return lowered(choose)


larger, smaller = _choice(">"), _choice("<")


@lowered
def in_order(_):
    """Refuses to be compiled where sums may be taken in any order, for functions whose rounding is what they use."""

    def lower(context, builder, signature, arguments):
        if context.fastmath and REORDERING & context.fastmath.flags:
            raise LoweringError(
                "exp2_nonpositive is wrong where sums may be taken in any order: compile what calls it with OPTIONS,"
                " not with ANY_ORDER or fastmath=True"
            )
        return context.get_dummy_value()

    return types.void(), lower


WHOLE = np.float32(1.5 * 2**23)  # a float32 this large has no room for fractions: its last bits count ones


@lowered
def _fused(_, first, second, third):
    """first·second + third, rounded once."""

    def lower(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), lower


@lowered
def as_float(_, bits):
    """The float32 whose bits an int32 holds."""

    def lower(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), lower


@lowered
def as_bits(_, number):
    """The bits of a float32, as an int32."""

    def lower(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), lower


@nb.njit(inline="always", **OPTIONS)
def exp2_nonpositive(x, scale):
    """2^(x·scale) for x ≤ 0 < scale, branch-free so that a loop vectorises; never under 2^−126.

    Relative error below 5e-7. 2^k · 2^f with k whole and |f| ≤ ½: 2^f by the polynomial of degree 5 that is 1 at 0 and
    whose largest relative error is least, k added to its exponent. k is what adding WHOLE rounds to; with sums in any
    order nothing would be rounded, so it is not compiled there.
    """
    in_order()
    y = larger(x, np.float32(-125.0) / scale)
    k = _fused(y, scale, WHOLE)
    f = _fused(y, scale, WHOLE - k)
    p = np.float32(1.32647273e-3)
    p = p * f + np.float32(9.67151299e-3)
    p = p * f + np.float32(5.55073358e-2)
    p = p * f + np.float32(2.40222424e-1)
    p = p * f + np.float32(6.93147004e-1)
    p = p * f + np.float32(1.0)
    return as_float(np.int32(as_bits(p) + np.int32(as_bits(k) << np.int32(23))))


@nb.njit(inline="always", **OPTIONS)
def log_positive(x):
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


@nb.njit(inline="always", **OPTIONS)
def raise_peak(sims, first, last, peak):
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


@lowered
def widen(_, half):
    """A float16, given by its uint16 bits, as float32: one instruction for a vector of them."""

    def lower(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), lower
