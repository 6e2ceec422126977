"""Powers of two for sixteen lanes at once, by the instructions that AVX-512 has for them and no loop is compiled to.

2^t = 2^⌊t⌋ · 2^f with 0 ≤ f < 1: one instruction takes the fraction, another scales by the whole. 2^f is the polynomial
of degree 5 that is 1 at 0 and whose largest relative error, 7e-8, is least.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from harness.scoring.kernels.base import instruct, lowered, splat, target_has

LANES = 16
FACTORS = [1.86895634e-03, 9.01488457e-03, 5.57993007e-02, 2.40165651e-01, 6.93151068e-01, 1.0]
_float, _int, _short = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_lanes = ir.VectorType(_float, LANES)
FLOOR, AS_IS, ALL = ir.Constant(_int, 1), ir.Constant(_int, 4), ir.Constant(_short, -1)  # rounding; which lanes


WIDE = target_has("avx512f", "avx512dq")


def _power(builder: Any, t: Any) -> Any:
    """2^t, lane by lane."""
    any_lanes = ir.Constant(_lanes, ir.Undefined)
    f = instruct(builder, "llvm.x86.avx512.mask.reduce.ps.512", _lanes, t, FLOOR, any_lanes, ALL, AS_IS)
    first, *others = (ir.Constant(_lanes, [one] * LANES) for one in FACTORS)
    for factor in others:
        first = instruct(builder, "llvm.fma.v16f32", _lanes, first, f, factor)
    return instruct(builder, "llvm.x86.avx512.mask.scalef.ps.512", _lanes, first, t, any_lanes, ALL, AS_IS)


def _four(weighing: bool) -> Callable:
    def add(_, sims, stride, peaks, totals, weighted, scale):
        def lower(context, builder, signature, arguments):
            sims, stride, peaks, totals, weighted, number = arguments
            place = _lanes.as_pointer()
            scale = splat(builder, number, LANES)
            peak = builder.load(builder.inttoptr(peaks, place), align=4)
            sums = [builder.inttoptr(one, place) for one in ((totals, weighted) if weighing else (totals,))]
            held = [builder.load(one, align=4) for one in sums]
            for row in range(4):
                at = builder.add(sims, builder.mul(stride, ir.Constant(stride.type, row)))
                sim = builder.load(builder.inttoptr(at, place), align=4)
                weight = _power(builder, builder.fmul(builder.fsub(sim, peak), scale))
                held[0] = builder.fadd(held[0], weight)
                if weighing:
                    held[1] = instruct(builder, "llvm.fma.v16f32", _lanes, weight, sim, held[1])
            for one, value in zip(sums, held, strict=True):
                builder.store(value, one, align=4)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 5, types.float32), lower

    return lowered(add)


add_four, weigh_four = _four(weighing=False), _four(weighing=True)
"""(sims, stride, peaks, totals, weighted, scale), addresses and a number of bytes: add the weights 2^((s − peak)·scale)
of four patches to the totals of sixteen lanes, and their products with s to weighted."""
