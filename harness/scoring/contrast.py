"""Scores of every query with every document of a batch, with gradients: what contrastive training pays for.

On the CPU operators with a kernel run compiled, a document's block at a time: products are made again for the gradient
rather than kept. Other operators, and other devices, run through their torch functions. Products are small: callers run
several trainings side by side, each with single-threaded BLAS, rather than one with many threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba as nb
import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from harness.aggregators import MASKED, Aggregator
from harness.scoring.compiled import LANES
from harness.scoring.kernels import kernel_of
from harness.scoring.kernels.base import OPTIONS, finish_at, spread_at, start_at, update_at

HELD = 1 << 25  # similarities the torch path holds at once


def contrast(
    aggregator: Aggregator, tokens: Tensor, token_counts: Sequence[int], patches: Tensor, patch_counts: Sequence[int]
) -> Tensor:
    """Scores (Q, D), sums over a query's tokens, differentiable in both vectors.

    tokens: float32 (Σt, d), the queries one after the other, token_counts (Q); patches: (Σp, d), patch_counts (D).
    """
    if (sum(token_counts), sum(patch_counts)) != (len(tokens), len(patches)):
        raise ValueError(
            f"counts {sum(token_counts)}, {sum(patch_counts)} do not fit {len(tokens)}, {len(patches)} rows"
        )
    kernel, tokens, patches = kernel_of(aggregator), tokens.float(), patches.float()
    if kernel is not None and tokens.device.type == "cpu":
        bounds = [np.concatenate([[0], np.cumsum(counts)]) for counts in (token_counts, patch_counts)]
        return _Compiled.apply(aggregator, kernel, tokens, bounds[0], patches, bounds[1])
    return _dense(aggregator, tokens, token_counts, patches, patch_counts)


def _dense(aggregator: Aggregator, tokens: Tensor, token_counts, patches: Tensor, patch_counts) -> Tensor:
    """As many documents at a time as HELD similarities allow, padded; if not all, made again for the gradients."""

    def block(tokens: Tensor, *documents: Tensor) -> Tensor:
        padded = pad_sequence(list(documents), batch_first=True)  # (D, p, d)
        sims = (tokens @ padded.flatten(0, 1).T).view(len(tokens), *padded.shape[:2])  # (T, D, p)
        lengths = torch.tensor([len(one) for one in documents], device=tokens.device)
        slots = torch.arange(padded.shape[1], device=tokens.device)
        return aggregator(sims.masked_fill(slots >= lengths[:, None], MASKED))  # (T, D)

    documents = patches.split(list(patch_counts))
    size = max(1, HELD // (len(tokens) * max(patch_counts)))
    parts = [documents[start : start + size] for start in range(0, len(documents), size)]
    scored = [
        checkpoint(block, tokens, *part, use_reentrant=False) if len(parts) > 1 else block(tokens, *part)
        for part in parts
    ]
    owner = torch.repeat_interleave(torch.tensor(token_counts, device=tokens.device))
    sums = torch.nn.functional.one_hot(owner, len(token_counts)).to(
        tokens.dtype
    )  # (T, Q): a product of fixed order, unlike index_add
    return sums.T @ torch.cat(scored, 1)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, aggregator, kernel, tokens, token_bounds, patches, patch_bounds):
        out = np.empty((len(token_bounds) - 1, len(patch_bounds) - 1), np.float32)
        arrays = [one.detach().contiguous().numpy() for one in (tokens, patches)]
        _scores(
            arrays[0],
            token_bounds,
            arrays[1],
            patch_bounds,
            kernel.addresses,
            kernel.rows(aggregator),
            kernel.parameter(aggregator),
            out,
        )
        ctx.save_for_backward(tokens, patches)
        ctx.how = (aggregator, kernel, token_bounds, patch_bounds)
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx, slopes):
        aggregator, kernel, token_bounds, patch_bounds = ctx.how
        tokens, patches = (one.detach().contiguous().numpy() for one in ctx.saved_tensors)
        to_tokens, to_patches = np.zeros_like(tokens), np.zeros_like(patches)
        _gradients(
            tokens,
            token_bounds,
            patches,
            patch_bounds,
            kernel.addresses,
            kernel.rows(aggregator),
            kernel.parameter(aggregator),
            slopes.contiguous().numpy(),
            to_tokens,
            to_patches,
        )
        return None, None, torch.from_numpy(to_tokens), None, torch.from_numpy(to_patches), None


@nb.njit(cache=True, **OPTIONS)
def _reduced(block, lanes, addresses, rows, parameter, sims_space, state_space):
    """Similarities (p, W) of a document's block to some lanes, and the state they reduce to."""
    sims = sims_space[: len(block) * len(lanes)].reshape((len(block), len(lanes)))
    np.dot(block, lanes.T, sims)
    state = state_space[: rows * len(lanes)].reshape((rows, len(lanes)))
    start_at(addresses[0])(state, parameter)
    update_at(addresses[1])(sims, 0, len(block), state, parameter)
    return sims, state


@nb.njit(cache=True, **OPTIONS)
def _scores(tokens, token_bounds, patches, patch_bounds, addresses, rows, parameter, out):
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


@nb.njit(cache=True, **OPTIONS)
def _gradients(tokens, token_bounds, patches, patch_bounds, addresses, rows, parameter, slopes, to_tokens, to_patches):
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
            spread_at(addresses[4])(sims, state, lane_slopes[first : first + LANES], parameter)
            to_patches[patch_bounds[document] : patch_bounds[document + 1]] += np.dot(sims, lanes)
            to_tokens[first : first + LANES] += np.dot(sims.T, block)
