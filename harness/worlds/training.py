"""In-batch InfoNCE in a concept world, under any aggregator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from harness.aggregators import Aggregator
from harness.encoders import concepts
from harness.errors import DataError
from harness.randomness import generator
from harness.scoring.contrast import contrast
from harness.worlds.plan import Plan, Trial
from harness.worlds.vectors import Split

Network = torch.nn.Sequential


def fit(
    aggregator: Aggregator,
    train: Split,
    trial: Trial,
    plan: Plan,
    after: Callable[[int, float | None, Network], None],
) -> Network:
    """Train the study's encoder; ``after(epoch, mean loss, network)`` is called before the first epoch and after each.

    Beginnings and batches are a function of the seed alone, the same under every pool.
    """
    device = train.queries.device
    trained = concepts.network(plan.dim, plan.width, generator(trial.seed, "network")).to(device)
    optimizer = torch.optim.Adam(trained.parameters(), plan.rate)
    after(0, None, trained)
    for epoch in range(1, plan.epochs + 1):
        order = torch.from_numpy(generator(trial.seed, "order", str(epoch)).permutation(plan.queries)).to(device)
        losses = []
        for batch in order.split(plan.batch):
            loss = info_nce(aggregator, trained, train, batch, trial.train_length, plan)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        if not all(weights.isfinite().all() for weights in trained.parameters()):
            raise DataError(f"training diverged under {trial.pool}, seed {trial.seed}, epoch {epoch}; lower --rate")
        after(epoch, float(torch.stack(losses).mean()), trained)
    return trained


def info_nce(
    aggregator: Aggregator, trained: Network, train: Split, batch: torch.Tensor, length: int, plan: Plan
) -> torch.Tensor:
    """Mean over the batch's queries of −log softmax(score/temperature) of their own document among the batch's."""
    documents = train.documents[batch, :length]  # (B, M, d)
    if plan.negatives:
        documents = torch.cat([documents, train.negatives[batch, :length]])
    tokens, patches = (concepts.apply(trained, part.flatten(0, 1)) for part in (train.queries[batch], documents))
    counts = [np.full(len(part), part.shape[1]).tolist() for part in (train.queries[batch], documents)]
    scores = contrast(aggregator, tokens, counts[0], patches, counts[1])  # (B, D)
    return cross_entropy(scores / plan.temperature, torch.arange(len(batch), device=scores.device))
