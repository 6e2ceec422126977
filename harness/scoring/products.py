"""A document's similarities to the stacked tokens of the queries that want it: by sgemm, of both widened, or by tiles
where tokens are float16 and the processor has a unit for them."""

from __future__ import annotations

import numba as nb
import numpy as np

from harness.scoring import tiles
from harness.scoring.gemm import multiply
from harness.scoring.kernels.base import OPTIONS, widen
from harness.scoring.tiles import DIMS, ROWS, room

PLAIN = 1_000_001  # products below 10^6 take another path in OpenBLAS, which rounds differently; blocks are grown to it
MOST = 8192  # lanes a block is grown to
LEAST = 16  # patches of a block


@nb.njit(inline="always", **OPTIONS)
def whole(lanes):
    """Lanes in whole vectors: no loop has a remainder."""
    return -(-lanes // ROWS) * ROWS


@nb.njit(inline="always", **OPTIONS)
def grown(used, patches, d):
    """Lanes of a block of so many patches: enough for the product to go OpenBLAS's usual way."""
    return max(used, whole(min(MOST, -(-PLAIN // (patches * d)))))


@nb.njit(inline="always", **OPTIONS)
def shape(packed, used, patches, d):
    """Rows and columns of the similarities of so many patches to so many lanes."""
    if len(packed):
        return whole(patches), used
    return max(patches, LEAST), grown(used, max(patches, LEAST), d)


@nb.njit(inline="always", **OPTIONS)
def spaces(packed, tokens, own, patches, used):
    """Where patches and lanes, this many at most, are written: as float32 and as tiles, one of which is empty."""
    d, deep = tokens.shape[1], -(-tokens.shape[1] // DIMS)
    tall, wide = shape(packed, used, LEAST, d)
    tall = max(tall, whole(patches))
    blocks, rows = (tall // ROWS, 0) if len(packed) else (0, tall)
    halves = room(2 * blocks * ROWS * deep * DIMS, own).reshape((blocks, deep, 2, ROWS, DIMS))
    lanes = room(wide * deep * DIMS if len(packed) else 0, packed)
    return np.empty((rows, d), np.float32), np.empty(wide * d if rows else 0, np.float32), halves, lanes


@nb.njit(inline="always", **OPTIONS)
def write(packed, own, filler, space):
    """A document's own patches, then filler, where its products are taken from."""
    if len(packed):
        tiles.fill(own, 0, space[2])
        tiles.fill(filler, len(own), space[2])
    else:
        _fill(own, filler, space[0])


@nb.njit(inline="always", **OPTIONS)
def compare(product, tokens, packed, bounds, queries, space, sims):
    """sims (P, W) of the patches written to the tokens of some queries, of a shape that ``shape`` says.

    tokens: float32 (T, d); packed: of tiles.packed, or empty: then product, of gemm.address, multiplies.
    """
    (tall, wide), d = sims.shape, tokens.shape[1]
    block, stacked, halves, tiling = space
    if len(packed):
        deep = halves.shape[1] * DIMS
        lanes = tiling[: wide * deep].reshape((wide // ROWS, deep, ROWS))
        tiles.stack(packed, bounds, queries, deep, lanes)
        tiles.multiply(halves[: tall // ROWS], lanes, sims)
    else:
        plain = stacked[: wide * d].reshape((wide, d))
        _stack(tokens, bounds, queries, plain)
        multiply(product, block[:tall], plain, sims)


@nb.njit(inline="always", **OPTIONS)
def _fill(own, filler, block):
    """Own patches, then filler, widened into block (rows, d); rows beyond them are zero."""
    used = 0
    for halves in (own.reshape(-1), filler.reshape(-1)):
        part = block.reshape(-1)[used : used + len(halves)]  # a slice: indices that cannot be negative vectorise
        for at in range(len(halves)):
            part[at] = widen(halves[at])
        used += len(halves)
    block.reshape(-1)[used:] = np.float32(0.0)


@nb.njit(inline="always", **OPTIONS)
def _stack(tokens, bounds, queries, lanes):
    """Tokens of several queries, one after the other, into lanes (W, d); lanes beyond them are zero."""
    used = 0
    for query in queries:
        part = tokens[bounds[query] : bounds[query + 1]].reshape(-1)
        place = lanes.reshape(-1)[used : used + len(part)]
        for at in range(len(part)):
            place[at] = part[at]
        used += len(part)
    lanes.reshape(-1)[used:] = np.float32(0.0)
