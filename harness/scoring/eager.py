"""The scoring pass on the CPU through the aggregators' own torch functions, a document or a pair at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.scoring.injected import Attack
from harness.scoring.tasks import Sweep, Task
from harness.vectors.injections.base import BANK


def score_sweep(sweep: Sweep, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs, float32 (A, L, N)."""
    streams, bounds = sweep.streams, sweep.bounds
    out = np.empty((len(aggregators), len(streams.cuts), len(task.queries)), np.float32)
    for number, row in enumerate(task.rows):
        pairs = slice(task.pairs[number], task.pairs[number + 1])
        spans = [np.arange(bounds[query], bounds[query + 1]) for query in task.queries[pairs]]
        lanes = torch.from_numpy(sweep.tokens[np.concatenate(spans)])  # (W, d)
        sims = lanes @ torch.from_numpy(streams.of(int(row)).astype(np.float32)).T  # (W, p)
        owner = torch.repeat_interleave(torch.tensor([len(span) for span in spans]))  # (W)
        for a, aggregator in enumerate(aggregators):
            state, seen = None, 0
            for at, stop in enumerate(streams.counts(row).tolist()):
                if stop > seen:
                    more = aggregator.reduce(sims[:, seen:stop])
                    state, seen = more if state is None else aggregator.merge(state, more), stop
                out[a, at, pairs] = torch.zeros(len(spans)).index_add_(0, owner, aggregator.finish(state).float())
    return out


def score_attack(attack: Attack, aggregators: Sequence[Aggregator], task: Task) -> np.ndarray:
    """Scores of a task's pairs and the shares that injected patches hold, sums over tokens: float32 (2, A, K, N)."""
    counts, bounds, documents = attack.injection.counts, attack.bounds, task.documents
    out = np.empty((2, len(aggregators), len(counts), len(task.queries)), np.float32)
    picks = attack.picks(task.queries, documents)
    for pair, (query, row) in enumerate(zip(task.queries, documents, strict=True)):
        lanes = attack.tokens[bounds[query] : bounds[query + 1]]
        own = torch.from_numpy(lanes @ attack.vectors.of(int(row)).astype(np.float32).T)  # (t, p)
        bank = attack.banks[BANK * bounds[query] : BANK * bounds[query + 1]].reshape(BANK, -1)
        injected = torch.from_numpy(bank[picks[pair]].T)  # (t, K)
        for a, aggregator in enumerate(aggregators):
            clean = aggregator.reduce(own)
            for k, count in enumerate(counts):
                other = aggregator.reduce(injected[:, :count]) if count else None
                state = clean if other is None else aggregator.merge(clean, other)
                share = torch.zeros(len(lanes)) if other is None else aggregator.share(clean, other)
                out[0, a, k, pair] = float(aggregator.finish(state).sum())
                out[1, a, k, pair] = float("nan") if share is None else float(share.sum())
    return out
