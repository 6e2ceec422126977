"""A document's similarities to the stacked tokens of the queries that want it: by sgemm, of both widened, or by AMX
where tokens are float16 and the processor has it."""

from __future__ import annotations

import numpy as np

from harness.scoring import amx
from harness.scoring.amx import DIMS, ROWS, aligned
from harness.scoring.llvm import inlined, sgemm, widen

PLAIN = 1_000_001  # products below 10^6 take another path in OpenBLAS, which rounds differently; blocks are grown to it
MOST = 8192  # lanes a block is grown to
LEAST = 16  # patches of a block

Space = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Where patches and lanes are written: as float32, and as the matrix unit reads them; two of the four are empty."""


@inlined
def whole(lanes: int) -> int:
    """Lanes in whole vectors: no loop has a remainder."""
    return -(-lanes // ROWS) * ROWS


@inlined
def grown(used: int, patches: int, d: int) -> int:
    """Lanes of a block of so many patches: enough for the product to go OpenBLAS's usual way."""
    return max(used, whole(min(MOST, -(-PLAIN // (patches * d)))))


@inlined
def shape(packed: np.ndarray, used: int, patches: int, d: int) -> tuple[int, int]:
    """Rows and columns of the similarities of so many patches to so many lanes."""
    if len(packed):
        return whole(patches), used
    return max(patches, LEAST), grown(used, max(patches, LEAST), d)


@inlined
def spaces(packed: np.ndarray, tokens: np.ndarray, own: np.ndarray, patches: int, used: int) -> Space:
    """Space for this many patches and lanes at most."""
    d, deep = tokens.shape[1], -(-tokens.shape[1] // DIMS)
    tall, wide = shape(packed, used, LEAST, d)
    tall = max(tall, whole(patches))
    blocks, rows = (tall // ROWS, 0) if len(packed) else (0, tall)
    patch_tiles = aligned(2 * blocks * ROWS * deep * DIMS, own).reshape((blocks, deep, 2, ROWS, DIMS))
    lane_tiles = aligned(wide * deep * DIMS if len(packed) else 0, packed)
    return np.empty((rows, d), np.float32), np.empty(wide * d if rows else 0, np.float32), patch_tiles, lane_tiles


@inlined
def write(packed: np.ndarray, own: np.ndarray, filler: np.ndarray, space: Space) -> None:
    """A document's own patches, then filler, where its products are taken from."""
    if len(packed):
        amx.fill(own, 0, space[2])
        amx.fill(filler, len(own), space[2])
    else:
        _fill(own, filler, space[0])


@inlined
def compare(
    product: int,
    tokens: np.ndarray,
    packed: np.ndarray,
    bounds: np.ndarray,
    queries: np.ndarray,
    space: Space,
    sims: np.ndarray,
) -> None:
    """sims (P, W) of the patches written to the tokens of some queries, of a shape that ``shape`` says.

    tokens: float32 (T, d); packed: of amx.packed, or empty: then product, of blas.sgemm, multiplies.
    """
    (tall, wide), d = sims.shape, tokens.shape[1]
    block, stacked, patch_tiles, lane_tiles = space
    if len(packed):
        deep = patch_tiles.shape[1] * DIMS
        lanes = lane_tiles[: wide * deep].reshape((wide // ROWS, deep, ROWS))
        amx.stack(packed, bounds, queries, deep, lanes)
        amx.multiply(patch_tiles[: tall // ROWS], lanes, sims)
    else:
        plain = stacked[: wide * d].reshape((wide, d))
        _stack(tokens, bounds, queries, plain)
        _multiply(product, block[:tall], plain, sims)


@inlined
def _fill(own: np.ndarray, filler: np.ndarray, block: np.ndarray) -> None:
    """Own patches, then filler, widened into block (rows, d); rows beyond them are zero."""
    used = 0
    for halves in (own.reshape(-1), filler.reshape(-1)):
        part = block.reshape(-1)[used : used + len(halves)]  # a slice: indices that cannot be negative vectorise
        for at in range(len(halves)):
            part[at] = widen(halves[at])
        used += len(halves)
    block.reshape(-1)[used:] = np.float32(0.0)


@inlined
def _stack(tokens: np.ndarray, bounds: np.ndarray, queries: np.ndarray, lanes: np.ndarray) -> None:
    """Tokens of several queries, one after the other, into lanes (W, d); lanes beyond them are zero."""
    used = 0
    for query in queries:
        part = tokens[bounds[query] : bounds[query + 1]].reshape(-1)
        place = lanes.reshape(-1)[used : used + len(part)]
        for at in range(len(part)):
            place[at] = part[at]
        used += len(part)
    lanes.reshape(-1)[used:] = np.float32(0.0)


@inlined
def _multiply(product: int, block: np.ndarray, lanes: np.ndarray, sims: np.ndarray) -> None:
    """sims (p, W) = block (p, d) by lanes (W, d), transposed: MKL's sgemm is faster than numba's on small blocks."""
    if product == 0:
        np.dot(block, lanes.T, sims)
        return
    sizes = lanes.shape[0], block.shape[0], block.shape[1]
    sgemm(product, *sizes, lanes.ctypes.data, block.ctypes.data, sims.ctypes.data)
