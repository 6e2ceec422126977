"""Top-k mean: MaxSim's evidence spread over k patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import Aggregator, aggregator, masked_mean, real

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("topk")
class TopK(Aggregator):
    """Mean of the k largest similarities per query token; with fewer than k patches, of all of them."""

    k: int = 4

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")

    def reduce(
        self, sims: Tensor
    ) -> Tensor:  # (..., p) → (..., ≤k); a stable sort, so that a tie goes to the first patch
        return sims.sort(dim=-1, descending=True, stable=True).values[..., : self.k]

    def merge(self, own: Tensor, other: Tensor) -> Tensor:
        import torch  # here, not above: what only names operators, such as `harness list`, need not wait for it

        return self.reduce(torch.cat([own, other], dim=-1))

    def finish(self, best: Tensor) -> Tensor:  # (..., ≤k) → (...)
        return masked_mean(best)

    def share(
        self, own: Tensor, other: Tensor
    ) -> Tensor:  # own patches stay as long as they reach the last of the best
        best = self.merge(own, other)
        size = real(best).sum(-1)
        last = best.gather(-1, (size - 1).clamp(min=0)[..., None])
        return 1 - (real(own) & (own >= last)).sum(-1).clamp(max=size) / size

    def gradient(self, sims: Tensor) -> Tensor:
        k = min(self.k, sims.shape[-1])
        best = sims.sort(dim=-1, descending=True, stable=True).indices[..., :k]
        return sims.new_zeros(sims.shape).scatter_(-1, best, 1.0 / k)
