"""Products of float16 vectors by a processor's matrix unit (Intel AMX), which knows bfloat16 alone; none is rounded.

A float16 has eleven significant bits, a bfloat16 eight: each number is the sum of two bfloat16, its first bits and its
last. Of two numbers that makes four products, each exact in float32, and the sums are float32's, as sgemm's are.

A tile is 16 rows of 64 bytes: 16 patches × 32 dimensions, or 16 pairs of dimensions × 16 tokens × 2. ``D`` stands for
the dimensions in whole tiles, zeros beyond the last; the axis of two for first bits and last.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import platform
import sys
from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from harness.scoring.kernels.base import OPTIONS, instruct, lowered, splat, target_has

ROWS, DIMS, BYTES = 16, 32, 1024  # of a tile
ARCH_PRCTL, ASK, TILES = 158, 0x1023, 18  # Linux keeps a matrix unit's registers for processes that asked
NONE = np.zeros(0, np.uint32)
FIRST = 0xFFFF0000  # the bits of a float32 that a bfloat16 has
_byte, _short, _int, _long = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_place = _byte.as_pointer()


@functools.cache
def compiles() -> bool:
    """Whether numba compiles for a processor with such a unit; elsewhere the instructions below are left out."""
    return target_has("amx-tile", "amx-bf16", "avx512f")


@functools.cache
def available() -> bool:
    """Whether this process may use the unit."""
    if not (compiles() and sys.platform == "linux" and platform.machine() == "x86_64"):
        return False
    return ctypes.CDLL(None).syscall(ARCH_PRCTL, ASK, TILES) == 0


def usable(tokens: np.ndarray) -> np.ndarray:
    """Packed tokens, or none where another process than this one could have used them."""
    return tokens if available() else NONE


def _instruction(name: str, *kinds: Any, numbers: int) -> Any:
    """LLVM's instruction of this name. Its first arguments are numbers of tiles, the rest addresses and strides."""

    def emit(context, builder, signature, arguments):
        if compiles():
            tiles = [ir.Constant(_byte, one.literal_value) for one in signature.args[:numbers]]
            rest = [
                builder.inttoptr(one, kind) if kind is _place else one
                for one, kind in zip(arguments[numbers:], kinds, strict=True)
            ]
            instruct(builder, name, ir.VoidType(), *tiles, *rest)
        return context.get_dummy_value()

    return emit


def _numbered(function: Callable) -> Callable:
    """As lowered, for arguments that are numbers where they are written: a tile's is part of its instruction."""
    return intrinsic(prefer_literal=True)(function)


_emit_load = _instruction("llvm.x86.tileloadd64", _place, _long, numbers=1)
_emit_store = _instruction("llvm.x86.tilestored64", _place, _long, numbers=1)
_emit_dot = _instruction("llvm.x86.tdpbf16ps", numbers=3)
_emit_zero = _instruction("llvm.x86.tilezero", numbers=1)
_emit_configure = _instruction("llvm.x86.ldtilecfg", _place, numbers=0)
_emit_release = _instruction("llvm.x86.tilerelease", numbers=0)


@_numbered
def _load(_, tile, address, stride):
    return types.void(tile, types.int64, types.int64), _emit_load


@_numbered
def _store(_, tile, address, stride):
    return types.void(tile, types.int64, types.int64), _emit_store


@_numbered
def _dot(_, out, patches, tokens):
    return types.void(out, patches, tokens), _emit_dot


@_numbered
def _zero(_, tile):
    return types.void(tile), _emit_zero


@lowered
def _configure(_, config):
    def lower(context, builder, signature, arguments):
        held = context.make_array(config)(context, builder, arguments[0])
        return _emit_configure(context, builder, signature, [builder.ptrtoint(held.data, _long)])

    return types.void(config), lower


@lowered
def release(_):
    """Give the unit's registers back."""
    return types.void(), _emit_release


@nb.njit(inline="always", **OPTIONS)
def configure():
    """Eight tiles of 16 rows of 64 bytes, for this thread, until release."""
    config = np.zeros(64, np.uint8)
    config[0] = 1  # the format of what follows
    for tile in range(8):
        config[16 + 2 * tile], config[48 + tile] = 64, 16
    _configure(config)


def packed(tokens: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Tokens (T, d) as ``stack`` reads them: uint32, a query's (D/32, 2, 16, t) after another's. Empty if no float16.

    bounds: int64 (Q + 1), where queries begin.
    """
    if tokens.dtype != np.float16 or not available():
        return NONE
    deep = -(-tokens.shape[1] // DIMS)
    out = np.zeros(len(tokens) * deep * DIMS + 2 * ROWS, np.uint32)  # room before and after, for whole vectors are read
    for begin, end in itertools.pairwise(bounds):
        wide = np.zeros((end - begin, deep * DIMS), np.float32)
        wide[:, : tokens.shape[1]] = tokens[begin:end]
        first = wide.view(np.uint32) & np.uint32(FIRST)
        last = (wide - first.view(np.float32)).view(np.uint32)
        place = out[ROWS + begin * deep * DIMS : ROWS + end * deep * DIMS].reshape(deep, 2, ROWS, end - begin)
        for at, bits in enumerate((first, last)):
            place[:, at] = (bits >> 16).astype(np.uint16).view(np.uint32).reshape(-1, deep, ROWS).transpose(1, 2, 0)
    return out


@nb.njit(inline="always", **OPTIONS)
def room(count, like):
    """An array of so many numbers like another's that begins where a line of the cache does: tiles load fast there."""
    raw = np.empty((count + 64) * like.itemsize, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + count * like.itemsize].view(like.dtype)


@lowered
def _split(_, halves, first, last):
    """The first and the last bits of the 32 float16 at an address, each as 32 bfloat16 to an address."""

    def lower(context, builder, signature, arguments):
        kinds = ir.HalfType(), ir.FloatType(), _int, _short
        half, number, whole, short = (ir.VectorType(kind, DIMS) for kind in kinds)
        source, *places = (
            builder.inttoptr(one, kind.as_pointer()) for one, kind in zip(arguments, (half, short, short), strict=True)
        )
        wide = builder.fpext(builder.load(source, align=2), number)
        high = builder.and_(builder.bitcast(wide, whole), ir.Constant(whole, [FIRST] * DIMS))
        low = builder.bitcast(builder.fsub(wide, builder.bitcast(high, number)), whole)
        for bits, place in zip((high, low), places, strict=True):
            upper = builder.lshr(bits, ir.Constant(whole, [16] * DIMS))
            builder.store(builder.trunc(upper, short), place, align=64)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), lower


@lowered
def _lay(_, source, place, kept):
    """Sixteen numbers of 32 bits from one address to another, where the first ``kept`` stay as they are."""

    def lower(context, builder, signature, arguments):
        lanes = ir.VectorType(_int, ROWS)
        source, place = (builder.inttoptr(one, lanes.as_pointer()) for one in arguments[:2])
        first = splat(builder, builder.trunc(arguments[2], _int), ROWS)
        new = builder.icmp_signed(">=", ir.Constant(lanes, list(range(ROWS))), first)
        held = builder.select(new, builder.load(source, align=4), builder.load(place, align=64))
        builder.store(held, place, align=64)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), lower


@nb.njit(inline="always", **OPTIONS)
def fill(halves, at, tiles):
    """Write float16 patches (p, d), given by their bits, into tiles (P/16, D/32, 2, 16, 32) from patch ``at`` on."""
    d, deep = halves.shape[1], tiles.shape[1]
    begin, rest, edge = halves.ctypes.data, d % DIMS, np.zeros(DIMS, halves.dtype)
    for p in range(halves.shape[0]):
        row = tiles.ctypes.data + (at + p) // ROWS * deep * 2 * BYTES + (at + p) % ROWS * 64
        for k in range(d // DIMS):
            place = row + k * 2 * BYTES
            _split(begin + (p * d + k * DIMS) * 2, place, place + BYTES)
        if rest:
            edge[:rest] = halves[p, d - rest :]
            place = row + (deep - 1) * 2 * BYTES
            _split(edge.ctypes.data, place, place + BYTES)


@nb.njit(inline="always", **OPTIONS)
def stack(tokens, bounds, queries, d, lanes):
    """Tokens of several queries, of ``packed``, one after the other, into lanes (W/16, D, 16); beyond them anything."""
    used = 0
    for query in queries:
        count = bounds[query + 1] - bounds[query]
        for block in range(used // ROWS, -(-(used + count) // ROWS)):
            kept = used - block * ROWS
            source = tokens.ctypes.data + (ROWS + bounds[query] * d - kept) * 4
            place = lanes.ctypes.data + block * d * 64
            for row in range(d):
                _lay(source + row * count * 4, place + row * 64, kept)
        used += count


@nb.njit(inline="always", **OPTIONS)
def multiply(tiles, lanes, sims):
    """sims (P, W) = patches of tiles (P/16, D/32, 2, 16, 32) by tokens of lanes (W/16, D, 16). P, W: whole tiles.

    Two tiles of patches by two of tokens at a time: ten loads for sixteen products. At the edges one is taken twice.
    """
    patches, deep, width = tiles.shape[0], tiles.shape[1], lanes.shape[0]
    stride, step = sims.shape[1] * 4, deep * 2 * BYTES
    for w in range(0, width, 2):
        beyond = step if w + 1 < width else 0
        for p in range(0, patches, 2):
            below = step if p + 1 < patches else 0
            a, b = tiles.ctypes.data + p * step, lanes.ctypes.data + w * step
            _zero(0), _zero(1), _zero(2), _zero(3)
            for _ in range(deep):
                _load(4, b, 64), _load(5, b + beyond, 64)
                _load(6, a, 64), _load(7, a + below, 64)
                _dot(0, 6, 4), _dot(1, 6, 5), _dot(2, 7, 4), _dot(3, 7, 5)
                _load(6, a + BYTES, 64), _load(7, a + below + BYTES, 64)
                _dot(0, 6, 4), _dot(1, 6, 5), _dot(2, 7, 4), _dot(3, 7, 5)
                _load(4, b + BYTES, 64), _load(5, b + beyond + BYTES, 64)
                _dot(0, 6, 4), _dot(1, 6, 5), _dot(2, 7, 4), _dot(3, 7, 5)
                _load(6, a, 64), _load(7, a + below, 64)
                _dot(0, 6, 4), _dot(1, 6, 5), _dot(2, 7, 4), _dot(3, 7, 5)
                a, b = a + 2 * BYTES, b + 2 * BYTES
            out = sims.ctypes.data + p * ROWS * stride + w * 64
            _store(0, out, stride)
            if beyond:
                _store(1, out + 64, stride)
            if below:
                _store(2, out + ROWS * stride, stride)
            if below and beyond:
                _store(3, out + ROWS * stride + 64, stride)
