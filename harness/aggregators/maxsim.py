"""MaxSim, the operator of ColBERT and ColPali (Khattab and Zaharia, 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import Aggregator, aggregator

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("maxsim")
class MaxSim(Aggregator):
    """Largest similarity per query token."""

    def reduce(self, sims: Tensor) -> Tensor:  # (..., p) → (...)
        return sims.max(-1).values

    def merge(self, own: Tensor, other: Tensor) -> Tensor:
        return other.where(other > own, own)

    def finish(self, best: Tensor) -> Tensor:
        return best

    def share(self, own: Tensor, other: Tensor) -> Tensor:
        return (other > own).to(own.dtype)

    def gradient(self, sims: Tensor) -> Tensor:
        return sims.new_zeros(sims.shape).scatter_(-1, sims.max(-1, keepdim=True).indices, 1.0)
