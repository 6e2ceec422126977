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

import numpy as np

from harness.scoring.llvm import (
    clear_tile,
    has_tiles,
    inlined,
    load_tile,
    move_sixteen,
    multiply_tiles,
    split_halves,
    store_tile,
)

ROWS, DIMS, BYTES = 16, 32, 1024  # of a tile
ARCH_PRCTL, ASK, TILES = 158, 0x1023, 18  # Linux keeps a matrix unit's registers for processes that asked
NONE = np.zeros(0, np.uint32)
FIRST = np.uint32(0xFFFF0000)  # the bits of a float32 that a bfloat16 has


@functools.cache
def available() -> bool:
    """Whether this process may use the unit."""
    if not (has_tiles() and sys.platform == "linux" and platform.machine() == "x86_64"):
        return False
    return bool(ctypes.CDLL(None).syscall(ARCH_PRCTL, ASK, TILES) == 0)


def usable(tokens: np.ndarray) -> np.ndarray:
    """Packed tokens, or none where another process than this one could have used them."""
    return tokens if available() else NONE


def packed(tokens: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Tokens (T, d) as ``stack`` reads them: uint32, a query's (D/32, 2, 16, t) after another's. Empty if no float16.

    bounds: int64 (Q + 1), where queries begin.
    """
    if tokens.dtype != np.float16 or not available():
        return NONE
    deep = -(-tokens.shape[1] // DIMS)
    out = np.zeros(len(tokens) * deep * DIMS + 2 * ROWS, np.uint32)  # more before and after: whole vectors are read
    for begin, end in itertools.pairwise(bounds):
        wide = np.zeros((end - begin, deep * DIMS), np.float32)
        wide[:, : tokens.shape[1]] = tokens[begin:end]
        first = wide.view(np.uint32) & FIRST
        last = (wide - first.view(np.float32)).view(np.uint32)
        place = out[ROWS + begin * deep * DIMS : ROWS + end * deep * DIMS].reshape(deep, 2, ROWS, end - begin)
        for at, bits in enumerate((first, last)):
            place[:, at] = (bits >> 16).astype(np.uint16).view(np.uint32).reshape(-1, deep, ROWS).transpose(1, 2, 0)
    return out


@inlined
def aligned(count: int, like: np.ndarray) -> np.ndarray:
    """An array of so many numbers like another's that begins where a line of the cache does: tiles load fast there."""
    raw = np.empty((count + 64) * like.itemsize, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + count * like.itemsize].view(like.dtype)


@inlined
def fill(halves: np.ndarray, at: int, tiles: np.ndarray) -> None:
    """Write float16 patches (p, d), given by their bits, into tiles (P/16, D/32, 2, 16, 32) from patch ``at`` on."""
    d, deep = halves.shape[1], tiles.shape[1]
    begin, rest, edge = halves.ctypes.data, d % DIMS, np.zeros(DIMS, halves.dtype)
    for p in range(halves.shape[0]):
        row = tiles.ctypes.data + (at + p) // ROWS * deep * 2 * BYTES + (at + p) % ROWS * 64
        for k in range(d // DIMS):
            place = row + k * 2 * BYTES
            split_halves(begin + (p * d + k * DIMS) * 2, place, place + BYTES)
        if rest:
            edge[:rest] = halves[p, d - rest :]
            place = row + (deep - 1) * 2 * BYTES
            split_halves(edge.ctypes.data, place, place + BYTES)


@inlined
def stack(tokens: np.ndarray, bounds: np.ndarray, queries: np.ndarray, d: int, lanes: np.ndarray) -> None:
    """Tokens of several queries, of ``packed``, one after the other, into lanes (W/16, D, 16); beyond them anything."""
    used = 0
    for query in queries:
        count = bounds[query + 1] - bounds[query]
        for block in range(used // ROWS, -(-(used + count) // ROWS)):
            kept = used - block * ROWS
            source = tokens.ctypes.data + (ROWS + bounds[query] * d - kept) * 4
            place = lanes.ctypes.data + block * d * 64
            for row in range(d):
                move_sixteen(source + row * count * 4, place + row * 64, kept)
        used += count


@inlined
def multiply(tiles: np.ndarray, lanes: np.ndarray, sims: np.ndarray) -> None:
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
            clear_tile(0), clear_tile(1), clear_tile(2), clear_tile(3)
            for _ in range(deep):
                load_tile(4, b, 64), load_tile(5, b + beyond, 64)
                load_tile(6, a, 64), load_tile(7, a + below, 64)
                _multiply_four()
                load_tile(6, a + BYTES, 64), load_tile(7, a + below + BYTES, 64)
                _multiply_four()
                load_tile(4, b + BYTES, 64), load_tile(5, b + beyond + BYTES, 64)
                _multiply_four()
                load_tile(6, a, 64), load_tile(7, a + below, 64)
                _multiply_four()
                a, b = a + 2 * BYTES, b + 2 * BYTES
            out = sims.ctypes.data + p * ROWS * stride + w * 64
            store_tile(0, out, stride)
            if beyond:
                store_tile(1, out + 64, stride)
            if below:
                store_tile(2, out + ROWS * stride, stride)
            if below and beyond:
                store_tile(3, out + ROWS * stride + 64, stride)


@inlined
def _multiply_four() -> None:
    """Add the products of both tiles of patches, 6 and 7, with both of tokens, 4 and 5, to tiles 0 … 3."""
    multiply_tiles(0, 6, 4), multiply_tiles(1, 6, 5), multiply_tiles(2, 7, 4), multiply_tiles(3, 7, 5)
