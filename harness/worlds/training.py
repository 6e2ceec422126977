"""In-batch InfoNCE in a concept world, under any aggregator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.encoders import concepts
from harness.randomness import generator
from harness.training.examples import Batch
from harness.training.loop import Model, Recipe
from harness.training.loop import fit as fit_epochs
from harness.worlds.plan import Plan, Trial
from harness.worlds.vectors import Split

Network = torch.nn.Sequential


class Encoder(Model):
    """The study's network over a split; documents, then their hard negatives, are cut to ``length`` patches."""

    def __init__(self, network: Network, split: Split, length: int):
        self.network, self.parameters = network, list(network.parameters())
        documents = torch.cat([split.documents[:, :length], split.negatives[:, :length]])
        self.items = {"query": split.queries, "document": documents}

    def vectors(self, rows: np.ndarray, role: str) -> tuple[torch.Tensor, list[int]]:
        items = self.items[role]
        chosen = items[torch.from_numpy(rows).to(items.device)]  # (n, p, d)
        return concepts.apply(self.network, chosen.flatten(0, 1)), [chosen.shape[1]] * len(rows)


def fit(
    aggregator: Aggregator,
    train: Split,
    trial: Trial,
    plan: Plan,
    after: Callable[[int, float | None, Network], None],
) -> Network:
    """Train the study's encoder; ``after(epoch, mean loss, network)`` is called before the first epoch and after each.

    Beginnings and batches are a function of the seed only, the same under every pool.
    """
    trained = concepts.network(plan.dim, plan.width, generator(trial.seed, "network")).to(train.queries.device)
    model = Encoder(trained, train, trial.train_length)
    optimizer = torch.optim.Adam(model.parameters, plan.rate)
    recipe = Recipe(plan.epochs, plan.batch, plan.rate, plan.temperature, trial.seed)
    after(0, None, trained)
    for epoch, losses in fit_epochs(model, aggregator, lambda epoch: batches(plan, trial, epoch), recipe, optimizer):
        after(epoch, float(losses.mean()), trained)
    return trained


def batches(plan: Plan, trial: Trial, epoch: int) -> Iterator[Batch]:
    """An epoch: every query once, in an order drawn anew."""
    order = generator(trial.seed, "order", str(epoch)).permutation(plan.queries)
    for start in range(0, plan.queries, plan.batch):
        yield batch_of(order[start : start + plan.batch], plan)


def batch_of(queries: np.ndarray, plan: Plan) -> Batch:
    """Some queries with their own documents and, if asked for, hard negatives."""
    documents = np.concatenate([queries, queries + plan.queries]) if plan.negatives else queries
    return Batch(queries, documents, np.arange(len(queries)), np.zeros((len(queries), len(documents)), bool))
