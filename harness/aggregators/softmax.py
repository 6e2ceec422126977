"""Softmax pooling: Σ w_j s_j with w = softmax(s/τ). A weighted mean, not log-sum-exp."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import Aggregator, aggregator, require_temperature, rescale, weigh

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("softmax")
class Softmax(Aggregator):
    """Softmax-weighted mean of the similarities at temperature tau: tau → 0 is MaxSim, tau → ∞ the mean."""

    tau: float = 0.1

    def __post_init__(self) -> None:
        require_temperature(self.tau)

    def reduce(self, sims: Tensor) -> tuple[Tensor, ...]:  # (..., p) → peak, Σw, Σw·s, each (...)
        peak, weights = weigh(sims, self.tau)
        return peak, weights.sum(-1), (weights * sims).sum(-1)

    def merge(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        peak, a, b = rescale(own[0], other[0], self.tau)
        return peak, a * own[1] + b * other[1], a * own[2] + b * other[2]

    def share(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
        _, a, b = rescale(own[0], other[0], self.tau)
        return b * other[1] / (a * own[1] + b * other[1])

    def finish(self, state: tuple[Tensor, ...]) -> Tensor:
        _, total, weighted = state
        return weighted / total

    def gradient(self, sims: Tensor) -> Tensor:
        weights = (sims / self.tau).softmax(-1)
        score = (weights * sims).sum(-1, keepdim=True)
        return weights * (1 + (sims - score) / self.tau)
