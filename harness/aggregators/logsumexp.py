"""Log-sum-exp, the smooth maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import Aggregator, aggregator, require_temperature, rescale, weigh

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("logsumexp")
class LogSumExp(Aggregator):
    """τ·log Σ exp(s/τ): a smooth maximum that grows by τ·log 2 when a document's patches are doubled."""

    tau: float = 0.1

    def __post_init__(self) -> None:
        require_temperature(self.tau)

    def reduce(self, sims: Tensor) -> tuple[Tensor, ...]:  # (..., p) → peak, Σ exp((s − peak)/τ), each (...)
        peak, weights = weigh(sims, self.tau)
        return peak, weights.sum(-1)

    def merge(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        peak, a, b = rescale(own[0], other[0], self.tau)
        return peak, a * own[1] + b * other[1]

    def share(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> Tensor:
        _, a, b = rescale(own[0], other[0], self.tau)
        return b * other[1] / (a * own[1] + b * other[1])

    def finish(self, state: tuple[Tensor, ...]) -> Tensor:
        peak, total = state
        return peak + self.tau * total.log()

    def gradient(self, sims: Tensor) -> Tensor:
        return (sims / self.tau).softmax(-1)
