"""The mean over all patches: every patch counts the same."""

from harness.aggregators.base import Aggregator, aggregator, real


@aggregator("mean")
class Mean(Aggregator):
    """Mean of all similarities per query token."""

    def reduce(self, sims):  # (..., p) → Σs, patches, each (...)
        keep = real(sims)
        return sims.where(keep, 0.0).sum(-1), keep.sum(-1)

    def merge(self, own, other):
        return own[0] + other[0], own[1] + other[1]

    def share(self, own, other):
        return other[1] / (own[1] + other[1])

    def finish(self, state):
        total, patches = state
        return total / patches
