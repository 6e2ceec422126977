"""Log-mean-exp: log-sum-exp corrected for length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.aggregators.base import aggregator, real
from harness.aggregators.logsumexp import LogSumExp

if TYPE_CHECKING:
    from torch import Tensor


@aggregator("logmeanexp")
class LogMeanExp(LogSumExp):
    """τ·log mean exp(s/τ): log-sum-exp less τ·log p, so that doubling a document's patches changes nothing."""

    tau: float = 0.1

    def reduce(self, sims: Tensor) -> tuple[Tensor, ...]:  # (..., p) → peak, Σ exp((s − peak)/τ), patches, each (...)
        return (*super().reduce(sims), real(sims).sum(-1).to(sims.dtype))

    def merge(self, own: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (*super().merge(own[:2], other[:2]), own[2] + other[2])

    def finish(self, state: tuple[Tensor, ...]) -> Tensor:
        return super().finish(state[:2]) - self.tau * state[2].log()
