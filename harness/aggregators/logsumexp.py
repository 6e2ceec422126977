"""Log-sum-exp, the smooth maximum, as it is and corrected for length."""

from harness.aggregators.base import Aggregator, aggregator, real, require_temperature, rescale, weigh


@aggregator("logsumexp")
class LogSumExp(Aggregator):
    """τ·log Σ exp(s/τ): a smooth maximum that grows by τ·log 2 when a document's patches are doubled."""

    tau: float = 0.1

    def __post_init__(self):
        require_temperature(self.tau)

    def reduce(self, sims):  # (..., p) → peak, Σ exp((s − peak)/τ), each (...)
        peak, weights = weigh(sims, self.tau)
        return peak, weights.sum(-1)

    def merge(self, own, other):
        peak, a, b = rescale(own[0], other[0], self.tau)
        return peak, a * own[1] + b * other[1]

    def share(self, own, other):
        _, a, b = rescale(own[0], other[0], self.tau)
        return b * other[1] / (a * own[1] + b * other[1])

    def finish(self, state):
        peak, total = state
        return peak + self.tau * total.log()


@aggregator("logmeanexp")
class LogMeanExp(LogSumExp):
    """τ·log mean exp(s/τ): log-sum-exp less τ·log p, so that doubling a document's patches changes nothing."""

    tau: float = 0.1

    def reduce(self, sims):  # (..., p) → peak, Σ exp((s − peak)/τ), patches, each (...)
        return (*super().reduce(sims), real(sims).sum(-1).to(sims.dtype))

    def merge(self, own, other):
        return (*super().merge(own[:2], other[:2]), own[2] + other[2])

    def finish(self, state):
        return super().finish(state[:2]) - self.tau * state[2].log()
