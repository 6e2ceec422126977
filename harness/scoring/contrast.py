"""Scores of every query with every document of a batch, with gradients: what contrastive training pays for.

On the CPU operators with a kernel run compiled; other operators, and other devices, through their torch functions.
Products are small: callers run several trainings side by side, each with single-threaded BLAS, rather than one with
many threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from harness.aggregators import MASKED, Aggregator
from harness.scoring.devices import kernels

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
    tokens, patches = tokens.float(), patches.float()
    compiled = kernels(None) if tokens.device.type == "cpu" else None
    if compiled is not None and compiled.has(aggregator):
        from harness.scoring.compiled_contrast import scores

        return scores(aggregator, tokens, token_counts, patches, patch_counts)
    return _dense(aggregator, tokens, token_counts, patches, patch_counts)


def _dense(
    aggregator: Aggregator, tokens: Tensor, token_counts: Sequence[int], patches: Tensor, patch_counts: Sequence[int]
) -> Tensor:
    """As many documents at a time as HELD similarities allow, padded; if not all, made again for the gradients."""

    def block(tokens: Tensor, *documents: Tensor) -> Tensor:
        padded = pad_sequence(list(documents), batch_first=True)  # (D, p, d)
        sims = (tokens @ padded.flatten(0, 1).T).view(len(tokens), *padded.shape[:2])  # (T, D, p)
        lengths = torch.tensor([len(one) for one in documents], device=tokens.device)
        slots = torch.arange(padded.shape[1], device=tokens.device)
        return aggregator(sims.masked_fill(slots >= lengths[:, None], MASKED))  # (T, D)

    documents = torch.split(patches, list(patch_counts))
    size = max(1, HELD // (len(tokens) * max(patch_counts)))
    parts = [documents[start : start + size] for start in range(0, len(documents), size)]
    scored = [
        checkpoint(block, tokens, *part, use_reentrant=False) if len(parts) > 1 else block(tokens, *part)
        for part in parts
    ]
    owner = torch.repeat_interleave(torch.tensor(token_counts, device=tokens.device))
    sums = one_hot(owner, len(token_counts)).to(tokens.dtype)  # (T, Q): a product of fixed order, unlike index_add
    return sums.T @ torch.cat(scored, 1)
