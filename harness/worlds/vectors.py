"""A world's vectors, before and after a network, and the galleries queries are ranked in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harness.corpora import synthetic
from harness.corpora.synthetic import World
from harness.encoders import concepts
from harness.records import Candidates, MultiVectors


@dataclass(frozen=True)
class Split:
    """A split's vectors before any network, float32: queries (n, T, d), documents (n, P, d), hard negatives (n, P, d).

    Document i is query i's positive, negative i its hard negative.
    """

    queries: torch.Tensor
    documents: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: str) -> Split:
        return Split(*(part.to(device) for part in (self.queries, self.documents, self.negatives)))


def split(world: World, name: str) -> Split:
    """The vectors that ``--checkpoint concepts`` gives, unrounded."""
    made = synthetic.make(world, name)
    items = (made.queries, made.documents[: world.queries], made.documents[world.queries :])
    return Split(*(torch.from_numpy(np.stack([concepts.raw(item.text) for item in part])) for part in items))


def encode(trained: torch.nn.Sequential, vectors: torch.Tensor, kind: str) -> MultiVectors:
    """(n, p, d) through the network, as the scoring pass takes them; ids are ``<kind><number>``."""
    with torch.no_grad():
        made = concepts.apply(trained, vectors).cpu().numpy().astype(np.float16)
    offsets = np.arange(len(made) + 1, dtype=np.int64) * made.shape[1]
    return MultiVectors([f"{kind}{number}" for number in range(len(made))], made.reshape(-1, made.shape[2]), offsets)


def galleries(queries: MultiVectors, documents: MultiVectors, size: int) -> Candidates:
    """What each query is ranked against: its own document, first, and the others of its gallery.

    A gallery is ``size`` neighbouring positives, and their hard negatives where documents hold them too.
    """
    each = len(documents) // len(queries)
    numbers = np.arange(len(queries))
    inside = numbers[:, None] // size * size + np.arange(size)  # (Q, size)
    others = np.stack([row[row != own] for row, own in zip(inside, numbers, strict=True)])
    rows = [numbers[:, None], others, *(inside + len(queries) * extra for extra in range(1, each))]
    return Candidates(queries.ids, documents.ids, np.concatenate(rows, 1), "gallery", 1.0, ranked=False)
