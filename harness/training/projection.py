"""A projection over the cached vectors of a frozen backbone: an epoch costs seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from harness.randomness import generator
from harness.records import MultiVectors
from harness.registry import Registry
from harness.training.loop import Model


class Projection(Model):
    """normalize(W v) for every vector v of the backbone; W (dim, hidden) is what is trained.

    length: patches a document is cut to.
    """

    def __init__(self, queries: MultiVectors, documents: MultiVectors, weight: np.ndarray, length: int, device: str):
        self.stores = {"query": (queries, None), "document": (documents, length)}
        self.weight = torch.nn.Parameter(torch.from_numpy(weight.astype(np.float32)).to(device))
        self.parameters = [self.weight]

    def vectors(self, rows: np.ndarray, role: str) -> tuple[torch.Tensor, list[int]]:
        store, length = self.stores[role]
        parts = [store.of(row)[:length] for row in rows.tolist()]
        stacked = torch.from_numpy(np.concatenate(parts)).to(self.weight.device).float()  # (Σp, h)
        return torch.nn.functional.normalize(stacked @ self.weight.T, dim=-1), [len(part) for part in parts]


BEGINNINGS: Registry[Callable[[int, int, int], np.ndarray]] = Registry("beginning")
"""(dim, hidden, seed) → the projection before training, float32 (dim, hidden)."""


@BEGINNINGS.register("truncated")
def truncated(dim: int, hidden: int, seed: int) -> np.ndarray:
    """The first dimensions of the backbone's vectors, whatever the seed."""
    return np.eye(dim, hidden, dtype=np.float32)


@BEGINNINGS.register("random")
def orthogonal(dim: int, hidden: int, seed: int) -> np.ndarray:
    """A random projection with orthonormal rows, float32 (dim, hidden): it keeps angles as well as chance allows.

    Source: Johnson and Lindenstrauss, 1984; rows are the QR decomposition's of Gaussian numbers.
    """
    drawn = generator(seed, "projection").standard_normal((hidden, dim))
    rows, upper = np.linalg.qr(drawn)
    return (rows * np.sign(np.diag(upper))).T.astype(np.float32)
