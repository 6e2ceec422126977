"""Top-k mean: MaxSim's evidence spread over k patches."""

from harness.aggregators.base import Aggregator, aggregator, masked_mean, real


@aggregator("topk")
class TopK(Aggregator):
    """Mean of the k largest similarities per query token; with fewer than k patches, of all of them."""

    k: int = 4

    def __post_init__(self):
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")

    def reduce(self, sims):  # (..., p) → (..., ≤k); a stable sort, so that a tie goes to the first patch
        return sims.sort(dim=-1, descending=True, stable=True).values[..., : self.k]

    def merge(self, own, other):
        import torch  # here, not above: what only names operators, such as `harness list`, need not wait for it

        return self.reduce(torch.cat([own, other], dim=-1))

    def finish(self, best):  # (..., ≤k) → (...)
        return masked_mean(best)

    def share(self, own, other):  # own patches win ties, so they stay as long as they reach the last of the best
        best = self.merge(own, other)
        size = real(best).sum(-1)
        last = best.gather(-1, (size - 1).clamp(min=0)[..., None])
        return 1 - (real(own) & (own >= last)).sum(-1).clamp(max=size) / size
