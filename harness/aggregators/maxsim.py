"""MaxSim, the operator of ColBERT and ColPali (Khattab and Zaharia, 2020)."""

from harness.aggregators.base import Aggregator, aggregator


@aggregator("maxsim")
class MaxSim(Aggregator):
    """Largest similarity per query token."""

    def reduce(self, sims):  # (..., p) → (...)
        return sims.max(-1).values

    def merge(self, own, other):
        return other.where(other > own, own)

    def finish(self, best):
        return best

    def share(self, own, other):
        return (other > own).to(own.dtype)
