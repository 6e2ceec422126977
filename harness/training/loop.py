"""In-batch InfoNCE, an epoch at a time, to go on from where it was cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from harness.aggregators import Aggregator
from harness.errors import DataError
from harness.records import MultiVectors
from harness.scoring.contrast import contrast
from harness.training.examples import Batch

CHUNK = 64  # items encoded at a time where no gradient is needed


class Model(Protocol):
    """What is trained. vectors(rows, role): the items' vectors one after the other (Σp, d), and each one's count."""

    parameters: list[torch.nn.Parameter]

    def vectors(self, rows: np.ndarray, role: str) -> tuple[torch.Tensor, list[int]]: ...

    def train(self, seed: int) -> None:
        """Before an epoch: dropout on, where there is any, and drawn from the seed."""
        return

    def eval(self) -> None:
        """Before vectors are measured: dropout off, where there is any."""
        return


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint is trained. rate: of Adam; temperature: of InfoNCE over scores, which are sums over tokens."""

    epochs: int
    batch: int
    rate: float
    temperature: float
    seed: int


def fit(
    model: Model,
    aggregator: Aggregator,
    batches: Callable[[int], Iterable[Batch]],
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    done: int = 0,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (epoch, losses of its batches) after each epoch that is not done yet, of batches(epoch).

    The result is a function of the model's beginning, the batches and the recipe, wherever training was cut off and
    gone on with. Raises DataError if weights are not finite.
    """
    for epoch in range(done + 1, recipe.epochs + 1):
        model.train(recipe.seed * 10_000 + epoch)
        losses = []
        for batch in batches(epoch):
            loss = info_nce(model, aggregator, batch, recipe.temperature)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
        if not all(weight.isfinite().all() for weight in model.parameters):
            raise DataError(f"training diverged under {aggregator}, seed {recipe.seed}, epoch {epoch}; lower --rate")
        model.eval()
        yield epoch, torch.stack(losses)


def info_nce(model: Model, aggregator: Aggregator, batch: Batch, temperature: float) -> torch.Tensor:
    """Mean over queries of −log softmax(score/temperature) of the target among the batch's documents."""
    tokens, token_counts = model.vectors(batch.queries, "query")
    patches, patch_counts = model.vectors(batch.documents, "document")
    scores = contrast(aggregator, tokens, token_counts, patches, patch_counts) / temperature  # (B, D)
    left_out = torch.from_numpy(batch.left_out).to(scores.device)
    target = torch.from_numpy(batch.target).to(scores.device)
    return cross_entropy(scores.masked_fill(left_out, -torch.inf), target)


def multivectors(
    model: Model, ids: Sequence[str], rows: np.ndarray, role: str, alive: Callable[[], None]
) -> MultiVectors:
    """The items' vectors as the scoring pass takes them."""
    parts, counts = [], []
    with torch.no_grad():
        for start in range(0, len(rows), CHUNK):
            alive()
            vectors, each = model.vectors(rows[start : start + CHUNK], role)
            parts.append(vectors.cpu().numpy().astype(np.float16))
            counts += each
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return MultiVectors([ids[row] for row in rows.tolist()], np.concatenate(parts), offsets)


def state_of(model: Model, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Weights and Adam's moments, by name."""
    found = {f"weight.{at}": weight.detach() for at, weight in enumerate(model.parameters)}
    for at, held in optimizer.state_dict()["state"].items():
        found |= {f"{name}.{at}": torch.as_tensor(value) for name, value in held.items()}
    return {name: one.cpu().contiguous() for name, one in found.items()}


def restore(model: Model, optimizer: torch.optim.Optimizer, state: dict[str, torch.Tensor]) -> None:
    """Put a state back, so that training goes on as if it had not been cut off."""
    held: dict[int, dict[str, Any]] = {}
    for key, value in state.items():
        name, at = key.rsplit(".", 1)
        if name == "weight":
            with torch.no_grad():
                model.parameters[int(at)].copy_(value)
        else:
            held.setdefault(int(at), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": held})
