"""How functions are compiled, and instructions that Python has no words for. No other file imports numba or llvmlite.

numba promises nothing of its internals from version to version, so pyproject.toml bounds it to what was tested. Where
this file does not load, the scoring pass runs in torch, see harness.scoring.devices.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba as nb
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import CacheImpl, _CacheLocator
from numba.core.errors import LoweringError, NumbaExperimentalFeatureWarning
from numba.core.registry import cpu_target
from numba.core.sigutils import normalize_signature
from numba.experimental.function_type import _get_jit_address
from numba.extending import intrinsic

from harness.scoring import caching, compiled_digest

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz", "arcp"}, "error_model": "numpy"}
ANY_ORDER = OPTIONS | {"fastmath": OPTIONS["fastmath"] | {"reassoc"}}  # sums may be taken in any order
REORDERING = {"reassoc", "fast"}  # what allows that

F = TypeVar("F", bound=Callable[..., Any])
njit: Any = nb.njit  # as Python sees it, what is compiled keeps its type
lowered: Any = intrinsic  # and what is lowered is a function of its arguments, but for the first
Emitting = Callable[[Callable[..., Any]], Callable[..., Any]]

_byte, _short, _int, _long = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_float, _place = ir.FloatType(), _byte.as_pointer()

warnings.filterwarnings("ignore", category=NumbaExperimentalFeatureWarning)  # functions that are called by address


class Locator(_CacheLocator):
    """Tells numba where a function of this package is kept. It is as old as the digest, whatever its own file's age."""

    def __init__(self, function: Any, file: str) -> None:
        self.module, self.line = function.__module__, function.__code__.co_firstlineno
        self._py_file = file  # numba's warnings name it

    def get_cache_path(self) -> str:
        return str(caching.folder() / self.module)

    def get_source_stamp(self) -> str:
        return compiled_digest()

    def get_disambiguator(self) -> str:
        return str(self.line)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Locator | None:
        return cls(py_func, py_file) if py_func.__module__.startswith("harness.scoring.") else None


CacheImpl._locator_classes.insert(0, Locator)  # before the first function is compiled


def inlined(function: F) -> F:
    """Compile a function as a part of those that call it."""
    return njit(inline="always", **OPTIONS)(function)


def compiled(any_order: bool = False, cache: bool = True) -> Callable[[F], F]:
    """Compile a function when it is first called or its address is asked for; once a machine if it is cached."""
    return njit(cache=cache, **(ANY_ORDER if any_order else OPTIONS))


def address(function: Callable[..., None], signature: str) -> int:
    """Where the machine code of a compiled function begins."""
    return _get_jit_address(function, _void(signature))


def at_address(signature: str) -> Callable[[int], Callable[..., None]]:
    """A function of an address: what can be called with this signature there."""
    kind = types.FunctionType(_void(signature))

    def at(_: Any, place: Any) -> tuple[Any, Callable[..., Any]]:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            function = cgutils.create_struct_proxy(kind)(context, builder)
            function.jit_addr = builder.inttoptr(arguments[0], cgutils.voidptr_t)
            return function._getvalue()

        return kind(types.int64), lower

    return lowered(at)


def _void(signature: str) -> Any:
    arguments, result = normalize_signature(signature)
    return result(*arguments)


def instruction(result: Any, *kinds: Any) -> Emitting:
    """A compiled function of these types out of one that writes its instructions: emit(builder, *arguments)."""

    def add(emit: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(emit)  # numba asks for the names of the arguments, after the first
        def typed(_: Any, *given: Any) -> tuple[Any, Callable[..., Any]]:
            def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                value = emit(builder, *arguments)
                return context.get_dummy_value() if result is types.void else value

            return result(*kinds), lower

        return lowered(typed)

    return add


def target_has(*features: str) -> bool:
    """Whether numba compiles for a processor with all of these features, as LLVM names them."""
    known = str(cpu_target.target_context.codegen().magic_tuple())
    return all(f"+{one}" in known for one in features)


def _instruct(builder: Any, name: str, result: Any, *arguments: Any) -> Any:
    """LLVM's instruction, or intrinsic function, of this name."""
    kind = ir.FunctionType(result, [one.type for one in arguments])
    return builder.call(builder.module.globals.get(name) or ir.Function(builder.module, kind, name), arguments)


def _splat(builder: Any, number: Any, lanes: int) -> Any:
    """A vector that holds a number in every lane."""
    filled = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    for lane in range(lanes):
        filled = builder.insert_element(filled, number, ir.Constant(_int, lane))
    return filled


@instruction(types.void)
def vectorised(builder: Any) -> None:
    """Called in a function, lets its loops use vectors of 512 bits, where LLVM would keep to 256 on most servers, and
    promises that the numbers of its arrays, float32, share no memory, which LLVM would check before each of its inner
    loops. Nothing is promised of what else an array points to: two rows of a state have the same owner."""
    set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own add knows no such name
    for argument in builder.function.args:
        if argument.type == _float.as_pointer():
            argument.add_attribute("noalias")


@lowered
def in_order(_: Any) -> tuple[Any, Callable[..., Any]]:
    """Refuses to be compiled where sums may be taken in any order, for functions whose rounding is what they use."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if context.fastmath and REORDERING & context.fastmath.flags:
            raise LoweringError(
                "exp2_nonpositive is wrong where sums may be taken in any order: compile what calls it with OPTIONS,"
                " not with ANY_ORDER or fastmath=True"
            )
        return context.get_dummy_value()

    return types.void(), lower


@instruction(types.float32, types.float32, types.float32)
def larger(builder: Any, first: Any, second: Any) -> Any:
    """One instruction, where Python's max, which minds NaN, takes two and a mask."""
    return builder.select(builder.fcmp_ordered(">", first, second), first, second)


@instruction(types.float32, types.float32, types.float32)
def smaller(builder: Any, first: Any, second: Any) -> Any:
    """As ``larger``."""
    return builder.select(builder.fcmp_ordered("<", first, second), first, second)


@instruction(types.float32, types.float32, types.float32, types.float32)
def multiply_add(builder: Any, first: Any, second: Any, third: Any) -> Any:
    """first·second + third, rounded once."""
    return builder.fma(first, second, third)


@instruction(types.float32, types.int32)
def as_float(builder: Any, bits: Any) -> Any:
    """The float32 whose bits an int32 holds."""
    return builder.bitcast(bits, _float)


@instruction(types.int32, types.float32)
def as_bits(builder: Any, number: Any) -> Any:
    """The bits of a float32, as an int32."""
    return builder.bitcast(number, _int)


@instruction(types.float32, types.uint16)
def widen(builder: Any, half: Any) -> Any:
    """A float16, given by its uint16 bits, as float32: one instruction for a vector of them."""
    return builder.fpext(builder.bitcast(half, ir.HalfType()), _float)


@instruction(types.void, *[types.int64] * 7)
def sgemm(builder: Any, place: Any, width: Any, height: Any, d: Any, lanes: Any, block: Any, sims: Any) -> None:
    """Fortran's sgemm at an address: sims (height, width) = block (height, d) by lanes (width, d), transposed.

    The last three are addresses. Fortran's arrays lie the other way round, so lanes come first.
    """
    byte, whole, number = (kind.as_pointer() for kind in (_byte, _int, _float))
    kinds = [byte, byte, whole, whole, whole, number, number, whole, number, whole, number, number, whole]
    function = builder.inttoptr(place, ir.FunctionType(ir.VoidType(), kinds).as_pointer())
    held = [cgutils.alloca_once_value(builder, builder.trunc(size, _int)) for size in (width, height, d)]
    letters = [cgutils.alloca_once_value(builder, ir.Constant(_byte, ord(letter))) for letter in "TN"]
    one, zero = (cgutils.alloca_once_value(builder, ir.Constant(_float, factor)) for factor in (1.0, 0.0))
    a, b, c = (builder.inttoptr(base, number) for base in (lanes, block, sims))
    builder.call(function, [*letters, *held, one, a, held[2], b, held[2], zero, c, held[0]])


# Powers of two for sixteen lanes at once, by the instructions that AVX-512 has for them and no loop is compiled to.
# 2^t = 2^⌊t⌋ · 2^f with 0 ≤ f < 1: one instruction takes the fraction, another scales by the whole. 2^f is the
# polynomial of degree 5 that is 1 at 0 and whose largest relative error, 7e-8, is least.

LANES = 16
WIDE = target_has("avx512f", "avx512dq")
FACTORS = [1.86895634e-03, 9.01488457e-03, 5.57993007e-02, 2.40165651e-01, 6.93151068e-01, 1.0]
FLOOR, AS_IS, ALL = ir.Constant(_int, 1), ir.Constant(_int, 4), ir.Constant(_short, -1)  # rounding; which lanes
_lanes = ir.VectorType(_float, LANES)


def _power(builder: Any, t: Any) -> Any:
    """2^t, lane by lane."""
    any_lanes = ir.Constant(_lanes, ir.Undefined)
    f = _instruct(builder, "llvm.x86.avx512.mask.reduce.ps.512", _lanes, t, FLOOR, any_lanes, ALL, AS_IS)
    power, *others = (ir.Constant(_lanes, [factor] * LANES) for factor in FACTORS)
    for factor in others:
        power = _instruct(builder, "llvm.fma.v16f32", _lanes, power, f, factor)
    return _instruct(builder, "llvm.x86.avx512.mask.scalef.ps.512", _lanes, power, t, any_lanes, ALL, AS_IS)


def _add_weights(builder: Any, sims: Any, stride: Any, peaks: Any, sums: list[Any], scale: Any) -> None:
    """Add 2^((s − peak)·scale) of four patches to sixteen lanes of the first sum, times s to those of the second."""
    places = [builder.inttoptr(one, _lanes.as_pointer()) for one in sums]
    scale = _splat(builder, scale, LANES)
    peak = builder.load(builder.inttoptr(peaks, _lanes.as_pointer()), align=4)
    held = [builder.load(place, align=4) for place in places]
    for row in range(4):
        at = builder.add(sims, builder.mul(stride, ir.Constant(stride.type, row)))
        sim = builder.load(builder.inttoptr(at, _lanes.as_pointer()), align=4)
        weight = _power(builder, builder.fmul(builder.fsub(sim, peak), scale))
        held[0] = builder.fadd(held[0], weight)
        held[1:] = [_instruct(builder, "llvm.fma.v16f32", _lanes, weight, sim, weighted) for weighted in held[1:]]
    for place, value in zip(places, held, strict=True):
        builder.store(value, place, align=4)


@instruction(types.void, *[types.int64] * 4, types.float32)
def add_four(builder: Any, sims: Any, stride: Any, peaks: Any, totals: Any, scale: Any) -> None:
    """Addresses, a stride in bytes and 1/(τ·log 2): add the weights of four patches to the totals of sixteen lanes."""
    _add_weights(builder, sims, stride, peaks, [totals], scale)


@instruction(types.void, *[types.int64] * 5, types.float32)
def weigh_four(builder: Any, sims: Any, stride: Any, peaks: Any, totals: Any, weighted: Any, scale: Any) -> None:
    """As ``add_four``, and add the weights' products with the similarities to ``weighted``."""
    _add_weights(builder, sims, stride, peaks, [totals, weighted], scale)


# Intel AMX, for harness.scoring.amx: tiles are registers of 16 rows of 64 bytes, which are named by their number.


@functools.cache
def has_tiles() -> bool:
    """Whether numba compiles for a processor with AMX; elsewhere its instructions are left out."""
    return target_has("amx-tile", "amx-bf16", "avx512f")


def _tiles(name: str, numbers: int, *kinds: Any) -> Callable[..., None]:
    """LLVM's instruction of this name. Its first arguments are numbers of tiles, which must be written where it is
    called, for they are a part of the instruction; the rest are addresses and strides."""

    def typed(_: Any, *given: Any) -> tuple[Any, Callable[..., Any]]:
        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if has_tiles():
                tiles = [ir.Constant(_byte, tile.literal_value) for tile in given[:numbers]]
                pairs = zip(arguments[numbers:], kinds, strict=True)
                rest = [builder.inttoptr(value, kind) if kind is _place else value for value, kind in pairs]
                _instruct(builder, name, ir.VoidType(), *tiles, *rest)
            return context.get_dummy_value()

        return types.void(*given[:numbers], *[types.int64] * len(kinds)), lower

    names = ["context", *(f"argument{at}" for at in range(numbers + len(kinds)))]
    parameters = [inspect.Parameter(one, inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in names]
    typed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return lowered(prefer_literal=True)(typed)


load_tile = _tiles("llvm.x86.tileloadd64", 1, _place, _long)
store_tile = _tiles("llvm.x86.tilestored64", 1, _place, _long)
multiply_tiles = _tiles("llvm.x86.tdpbf16ps", 3)
clear_tile = _tiles("llvm.x86.tilezero", 1)
release_tiles = _tiles("llvm.x86.tilerelease", 0)


@instruction(types.void)
def configure_tiles(builder: Any) -> None:
    """Eight tiles of 16 rows of 64 bytes, for this thread, until they are released."""
    if has_tiles():
        head, sizes, rows = [1, *[0] * 15], [64, 0] * 8 + [0] * 16, [16] * 8 + [0] * 8  # 1: the format of what follows
        config = ir.Constant(ir.ArrayType(_byte, 64), head + sizes + rows)
        place = builder.bitcast(cgutils.alloca_once_value(builder, config), _place)
        _instruct(builder, "llvm.x86.ldtilecfg", ir.VoidType(), place)


@instruction(types.void, types.int64, types.int64, types.int64)
def split_halves(builder: Any, halves: Any, first: Any, last: Any) -> None:
    """The first and the last bits of the 32 float16 at an address, each as 32 bfloat16 to an address."""
    half, number, whole, short = (ir.VectorType(kind, 32) for kind in (ir.HalfType(), _float, _int, _short))
    wide = builder.fpext(builder.load(builder.inttoptr(halves, half.as_pointer()), align=2), number)
    high = builder.and_(builder.bitcast(wide, whole), ir.Constant(whole, [0xFFFF0000] * 32))
    low = builder.bitcast(builder.fsub(wide, builder.bitcast(high, number)), whole)
    for bits, place in ((high, first), (low, last)):
        upper = builder.trunc(builder.lshr(bits, ir.Constant(whole, [16] * 32)), short)
        builder.store(upper, builder.inttoptr(place, short.as_pointer()), align=64)


@instruction(types.void, types.int64, types.int64, types.int64)
def move_sixteen(builder: Any, source: Any, place: Any, count: Any) -> None:
    """Sixteen numbers of 32 bits from one address to another, where the first ``count`` stay as they are."""
    lanes = ir.VectorType(_int, LANES)
    source, place = (builder.inttoptr(base, lanes.as_pointer()) for base in (source, place))
    new = builder.icmp_signed(
        ">=", ir.Constant(lanes, list(range(LANES))), _splat(builder, builder.trunc(count, _int), LANES)
    )
    builder.store(builder.select(new, builder.load(source, align=4), builder.load(place, align=64)), place, align=64)
