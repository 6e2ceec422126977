"""The mean over all patches: every patch counts the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import Aggregator, aggregator, real

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("mean")
class Mean(Aggregator):
    """Mean of all similarities per query token."""

    def reduce(self, sims: Tensor) -> tuple[Tensor, ...]:  # (..., p) → Σs, patches, each (...)
        keep = real(sims)
        return sims.where(keep, 0.0).sum(-1), keep.sum(-1)

    def merge(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return own[0] + other[0], own[1] + other[1]

    def share(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
        return other[1] / (own[1] + other[1])

    def finish(self, state: tuple[Tensor, ...]) -> Tensor:
        total, patches = state
        return total / patches

    def gradient(self, sims: Tensor) -> Tensor:
        return sims.new_full(sims.shape, 1.0 / sims.shape[-1])
