"""Compiled scores of every query with every document of a batch, with gradients, a document's block at a time.

Products are made again for the gradient rather than kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.aggregators import Aggregator
from harness.scoring.compiled import LANES
from harness.scoring.kernels import KERNELS
from harness.scoring.kernels.base import backward_at, finish_at, start_at, update_at
from harness.scoring.llvm import compiled


def scores(
    aggregator: Aggregator, tokens: Tensor, token_counts: Sequence[int], patches: Tensor, patch_counts: Sequence[int]
) -> Tensor:
    """As ``contrast``, of float32 vectors on the CPU under an operator with a kernel."""
    token_bounds, patch_bounds = (np.concatenate([[0], np.cumsum(counts)]) for counts in (token_counts, patch_counts))
    kernel = KERNELS[type(aggregator)]
    reduce = kernel.addresses, kernel.rows(aggregator), kernel.parameter(aggregator)
    apply: Callable[..., Tensor] = _Scores.apply
    return apply(tokens, token_bounds, patches, patch_bounds, reduce)


Reduce = tuple[np.ndarray, int, float]
"""A kernel's addresses, rows and parameter."""


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        token_bounds: np.ndarray,
        patches: Tensor,
        patch_bounds: np.ndarray,
        reduce: Reduce,
    ) -> Tensor:
        out = np.empty((len(token_bounds) - 1, len(patch_bounds) - 1), np.float32)
        _scores(_array(tokens), token_bounds, _array(patches), patch_bounds, *reduce, out)
        ctx.save_for_backward(tokens, patches)
        ctx.bounds, ctx.reduce = (token_bounds, patch_bounds), reduce
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor | None, ...]:
        token_bounds, patch_bounds = ctx.bounds
        reduce: Reduce = ctx.reduce
        tokens, patches = map(_array, ctx.saved_tensors)
        to_tokens, to_patches = np.zeros_like(tokens), np.zeros_like(patches)
        _gradients(
            tokens, token_bounds, patches, patch_bounds, *reduce, slopes.contiguous().numpy(), to_tokens, to_patches
        )
        return torch.from_numpy(to_tokens), None, torch.from_numpy(to_patches), None, None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@compiled()
def _reduced(
    block: np.ndarray,
    lanes: np.ndarray,
    addresses: np.ndarray,
    rows: int,
    parameter: float,
    sims_space: np.ndarray,
    state_space: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities (p, W) of a document's block to some lanes, and the state they reduce to."""
    sims = sims_space[: len(block) * len(lanes)].reshape((len(block), len(lanes)))
    np.dot(block, lanes.T, sims)
    state = state_space[: rows * len(lanes)].reshape((rows, len(lanes)))
    start_at(addresses[0])(state, parameter)
    update_at(addresses[1])(sims, 0, len(block), state, parameter)
    return sims, state


@compiled()
def _scores(
    tokens: np.ndarray,
    token_bounds: np.ndarray,
    patches: np.ndarray,
    patch_bounds: np.ndarray,
    addresses: np.ndarray,
    rows: int,
    parameter: float,
    out: np.ndarray,
) -> None:
    """tokens: float32 (T, d), patches: float32 (P, d); out: float32 (Q, D)."""
    most = (patch_bounds[1:] - patch_bounds[:-1]).max()
    sims_space, state_space = np.empty(most * LANES, np.float32), np.empty(rows * LANES, np.float32)
    scores = np.empty(tokens.shape[0], np.float32)
    for document in range(out.shape[1]):
        block = patches[patch_bounds[document] : patch_bounds[document + 1]]
        for first in range(0, tokens.shape[0], LANES):
            lanes = tokens[first : first + LANES]
            _, state = _reduced(block, lanes, addresses, rows, parameter, sims_space, state_space)
            finish_at(addresses[2])(state, len(block), scores[first : first + LANES], parameter)
        for query in range(out.shape[0]):
            out[query, document] = scores[token_bounds[query] : token_bounds[query + 1]].sum()


@compiled()
def _gradients(
    tokens: np.ndarray,
    token_bounds: np.ndarray,
    patches: np.ndarray,
    patch_bounds: np.ndarray,
    addresses: np.ndarray,
    rows: int,
    parameter: float,
    slopes: np.ndarray,
    to_tokens: np.ndarray,
    to_patches: np.ndarray,
) -> None:
    """slopes: float32 (Q, D), ∂loss/∂score; adds ∂loss/∂tokens (T, d) and ∂loss/∂patches (P, d)."""
    most = (patch_bounds[1:] - patch_bounds[:-1]).max()
    sims_space, state_space = np.empty(most * LANES, np.float32), np.empty(rows * LANES, np.float32)
    lane_slopes = np.empty(tokens.shape[0], np.float32)
    for document in range(slopes.shape[1]):
        block = patches[patch_bounds[document] : patch_bounds[document + 1]]
        for query in range(slopes.shape[0]):
            lane_slopes[token_bounds[query] : token_bounds[query + 1]] = slopes[query, document]
        for first in range(0, tokens.shape[0], LANES):
            lanes = tokens[first : first + LANES]
            sims, state = _reduced(block, lanes, addresses, rows, parameter, sims_space, state_space)
            backward_at(addresses[4])(sims, state, lane_slopes[first : first + LANES], parameter)
            to_patches[patch_bounds[document] : patch_bounds[document + 1]] += np.dot(sims, lanes)
            to_tokens[first : first + LANES] += np.dot(sims.T, block)
