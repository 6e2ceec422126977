"""Softmax pooling: Σ w_j s_j with w = softmax(s/τ). A weighted mean, not log-sum-exp."""

from harness.aggregators.base import Aggregator, aggregator, require_temperature, rescale, weigh


@aggregator("softmax")
class Softmax(Aggregator):
    """Softmax-weighted mean of the similarities at temperature tau: tau → 0 is MaxSim, tau → ∞ the mean."""

    tau: float = 0.1

    def __post_init__(self):
        require_temperature(self.tau)

    def reduce(self, sims):  # (..., p) → peak, Σw, Σw·s, each (...)
        peak, weights = weigh(sims, self.tau)
        return peak, weights.sum(-1), (weights * sims).sum(-1)

    def merge(self, own, other):
        peak, a, b = rescale(own[0], other[0], self.tau)
        return peak, a * own[1] + b * other[1], a * own[2] + b * other[2]

    def share(self, own, other):
        _, a, b = rescale(own[0], other[0], self.tau)
        return b * other[1] / (a * own[1] + b * other[1])

    def finish(self, state):
        _, total, weighted = state
        return weighted / total
