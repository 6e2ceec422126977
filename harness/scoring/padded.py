"""The scoring pass on a device such as a GPU, through the aggregators' own torch functions, a batch at a time."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from harness.aggregators import Aggregator
from harness.scoring.injected import Attack
from harness.scoring.pieces import Piece, products, score_pieces
from harness.scoring.tasks import Sweep, Task
from harness.vectors.injections.base import BANK


def score_sweep(sweep: Sweep, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs, float32 (A, L, N)."""
    return score_pieces(functools.partial(_score, sweep.tokens, aggregators), sweep.streams, sweep.bounds, task)


def _score(tokens: Tensor, aggregators: Sequence[Aggregator], piece: Piece) -> Tensor:
    """Scores of a piece's lanes, float32 (A, L, W)."""
    out = torch.empty((len(aggregators), piece.counts.shape[1], len(piece.rows)), device=tokens.device)
    for documents, lanes, sims in products(tokens, piece):
        stops = piece.counts[documents].max(axis=0).tolist()  # past a shorter document's end its slots are MASKED
        for a, aggregator in enumerate(aggregators):
            state, seen = None, 0
            for at, stop in enumerate(stops):
                if stop > seen:
                    more = aggregator.reduce(sims[..., seen:stop])
                    state, seen = more if state is None else aggregator.merge(state, more), stop
                out[a, at][lanes] = aggregator.finish(state).float()
    return out


def score_attack(attack: Attack, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs and the shares that injected patches hold, sums over tokens: float32 (2, A, K, N)."""
    return score_pieces(functools.partial(_attack, attack, aggregators), attack.whole, attack.bounds, task)


def _attack(attack: Attack, aggregators: Sequence[Aggregator], piece: Piece) -> Tensor:
    """Scores of a piece's lanes and the shares that injected patches hold, float32 (2, A, K, W)."""
    counts, device, sizes = attack.injection.counts, attack.tokens.device, np.diff(piece.pairs)
    picks = attack.picks(piece.queries, piece.documents) * sizes[:, None]  # a bank's patches are as long as its query
    first = piece.rows + (BANK - 1) * np.repeat(attack.bounds[piece.queries], sizes)
    pair = np.repeat(np.arange(len(sizes)), sizes)
    pairs, begin, steps = (torch.from_numpy(array).to(device) for array in (pair, first, picks))
    out = torch.zeros((2, len(aggregators), len(counts), len(piece.rows)), device=device)
    for _, lanes, sims in products(attack.tokens, piece, beside=3 * max(counts)):
        injected = attack.banks[begin[lanes][..., None] + steps[pairs[lanes]]]  # (B, w, K)
        for a, aggregator in enumerate(aggregators):
            clean, other, seen = aggregator.reduce(sims), None, 0
            for k, count in enumerate(counts):
                if count > seen:
                    more = aggregator.reduce(injected[..., seen:count])
                    other, seen = more if other is None else aggregator.merge(other, more), count
                state = clean if other is None else aggregator.merge(clean, other)
                out[0, a, k][lanes] = aggregator.finish(state).float()
                if other is not None:
                    share = aggregator.share(clean, other)
                    out[1, a, k][lanes] = float("nan") if share is None else share.float()
    return out
