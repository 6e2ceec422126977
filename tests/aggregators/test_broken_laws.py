"""Every law can fail: one broken aggregator for each, right in all else, caught by that law's own assertion.

Each is MaxSim or the mean with one mistake that somebody could make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from harness.aggregators import AGGREGATORS, Aggregator, aggregator, real
from harness.scoring.kernels import KERNELS
from tests.aggregators.laws import LAWS

Pair = tuple[torch.Tensor, torch.Tensor]


class Largest(Aggregator):
    """The largest similarity, without a kernel."""

    def reduce(self, sims):
        return sims.max(-1).values

    def merge(self, own, other):
        return other.where(other > own, own)

    def finish(self, state):
        return state


class Average(Aggregator):
    """The mean, without a kernel."""

    def reduce(self, sims) -> Pair:
        keep = real(sims)
        return sims.where(keep, 0.0).sum(-1), keep.sum(-1)

    def merge(self, own, other):
        return own[0] + other[0], own[1] + other[1]

    def finish(self, state):
        return state[0] / state[1]


BROKEN: dict[str, tuple[type[Aggregator], set[str]]] = {}
"""By law: an aggregator that breaks it, and the other laws that it cannot but break too."""


def breaks(law: str, *others: str) -> Callable[[type[Aggregator]], type[Aggregator]]:
    def add(cls: type[Aggregator]) -> type[Aggregator]:
        BROKEN[law] = cls, set(others)
        return cls

    return add


@breaks("split", "scored")
class CountsBlocks(Aggregator):
    """Every block that holds a patch adds to the score, beyond the first."""

    def reduce(self, sims):
        return sims.max(-1).values, real(sims).any(-1).long()

    def merge(self, own, other):
        return torch.where(other[0] > own[0], other[0], own[0]), own[1] + other[1]

    def finish(self, state):
        return state[0] + 0.1 * (state[1] - 1)


@breaks("order")
class PrefersTheFirst(Aggregator):
    """The first patch counts twice."""

    def reduce(self, sims):
        first = real(sims).long().argmax(-1, keepdim=True)
        return sims.gather(-1, first)[..., 0], sims.max(-1).values

    def merge(self, own, other):
        return own[0].where(real(own[0]), other[0]), torch.where(other[1] > own[1], other[1], own[1])

    def finish(self, state):
        return (state[0] + state[1]) / 2


@breaks("tokens")
class CountsPatchesOnce(Average):
    """Patches are counted over all tokens together, as if nothing stood before the tokens."""

    def reduce(self, sims):
        total, patches = super().reduce(sims)
        return total, patches.sum().expand(patches.shape) / len(sims)


@breaks("mask")
class CountsSlots(Average):
    """Padded slots add nothing to the sum, but count as patches."""

    def reduce(self, sims):
        return super().reduce(sims)[0], torch.full(sims.shape[:-1], sims.shape[-1])


@breaks("one_patch")
class Shifted(Largest):
    """A constant is added."""

    def finish(self, state):
        return state + 0.1


@breaks("gradient")
class HalfDetached(Largest):
    """Half of the score passes no gradient on."""

    def finish(self, state):
        return 0.5 * state + 0.5 * state.detach()


@breaks("first_tie")
class LastOfATie(Largest):
    """Of patches that tie the last one wins."""

    def reduce(self, sims):
        return sims.flip(-1).max(-1).values

    def merge(self, own, other):
        return other.where(other >= own, own)


@breaks("untouched", "scored")
class DividesInPlace(Average):
    """The state's sum is overwritten by the mean."""

    def finish(self, state):
        return state[0].div_(state[1])


@breaks("spec")
class Rounded(Largest):
    """Its parameter is changed as it is made, so that its spec makes another."""

    scale: float = 2.0

    def __post_init__(self):
        object.__setattr__(self, "scale", self.scale / 2)


@breaks("share")
class TiesAreForeign(Largest):
    """Patches that tie with its own count as not its own."""

    def share(self, own, other):
        return (other >= own).to(own.dtype)


@breaks("scored")
class WrongKernel(Largest):
    """Its kernel computes the mean."""


@breaks("closed")
class WrongClosedGradient(Largest):
    """Its closed gradient is the mean's."""

    def gradient(self, sims):
        return torch.full_like(sims, 1 / sims.shape[-1])


@pytest.fixture(params=[law.__name__ for law in LAWS])
def broken(request) -> Iterator[tuple[Aggregator, str, set[str]]]:
    """A broken aggregator, registered, the law it breaks, and all that it breaks."""
    law = request.param
    cls, others = BROKEN[law]
    aggregator(f"test-{law}")(cls)
    if cls is WrongKernel:
        KERNELS[cls] = KERNELS[AGGREGATORS["mean"]]
    yield cls(), law, {law, *others}
    AGGREGATORS.forget(f"test-{law}")
    KERNELS.pop(cls, None)


def test_each_law_fails_by_its_own_assertion_and_only_where_it_is_broken(broken):
    agg, law, expected = broken
    failed = {}
    for one in LAWS:
        try:
            one(agg)  # nothing but an AssertionError is a law's word
        except AssertionError as error:
            failed[one.__name__] = str(error)
    assert failed.keys() == expected
    assert failed[law].startswith(("similarities [", "spec ", "\nNot equal"))


@pytest.mark.parametrize("cls", [Largest, Average])
def test_what_the_broken_ones_are_made_of_is_right(cls):
    aggregator("test-right")(type("Right", (cls,), {}))
    try:
        for law in LAWS:
            law(AGGREGATORS.make("test-right"))
    finally:
        AGGREGATORS.forget("test-right")


def test_a_law_shows_the_smallest_counterexample():
    with pytest.raises(AssertionError) as caught:
        LAWS[0](CountsBlocks())
    assert str(caught.value) == "similarities [-0.5, -0.5]: expected -0.5, got -0.4 when cut at [1]"


def test_what_is_not_registered_has_no_spec():
    [spec] = [law for law in LAWS if law.__name__ == "spec"]
    with pytest.raises(AssertionError, match='put @aggregator\\("name"\\) above its class'):
        spec(Largest())
