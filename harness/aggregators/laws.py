"""The laws of an aggregator: ``law(aggregator)`` raises AssertionError with the smallest counterexample it finds.

A law needs nothing but the aggregator itself: what it expects comes from the aggregator's own torch functions on whole
documents in float64. What an aggregator raises of its own accord is not caught.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from harness.aggregators.base import AGGREGATORS, MASKED, Aggregator
from harness.errors import OptionError

LEVELS = (-0.5, 0.0, 0.75)  # similarities of small documents: few, so that patches tie
SHOWN = 8  # most similarities of a document that a message writes out
EXACT = 1e-9  # relative to 1 + |score|

Law = Callable[[Aggregator], None]


def documents() -> Iterator[Tensor]:
    """Similarities float64 (t, p), short documents first: every short one over LEVELS as a row, then random ones."""
    for patches in (1, 2, 3):
        yield torch.tensor(list(itertools.product(LEVELS, repeat=patches)), dtype=torch.float64)
    for seed, patches in enumerate((5, 17, 37)):
        yield generic(5, patches, seed)


def generic(tokens: int, patches: int, seed: int = 0) -> Tensor:
    """Random similarities float64 (t, p) with three decimals, no two of a row alike."""
    random = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(2001, generator=random)[:patches] for _ in range(tokens)]
    return (torch.stack(rows).double() - 1000) / 1000


def cuts(patches: int) -> Iterator[list[int]]:
    """Where a stream of so many patches is cut: once anywhere if it is short, else early, late, often, everywhere."""
    if patches <= 5:
        yield from ([at] for at in range(1, patches))
    else:
        yield from ([1], [patches - 1], [patches // 4, patches // 4 + 1, patches // 2])
    if patches > 2:
        yield list(range(1, patches))


def streamed(aggregator: Aggregator, sims: Tensor, cuts: Sequence[int]) -> Tensor:
    """Scores (...) of similarities (..., p) reduced block by block, each merged into the state of those before it."""
    first, *others = [aggregator.reduce(block) for block in blocks(sims, cuts)]
    for state in others:
        first = aggregator.merge(first, state)
    return aggregator.finish(first)


def blocks(sims: Tensor, cuts: Sequence[int]) -> list[Tensor]:
    return list(sims.tensor_split(sorted(set(cuts)), dim=-1))


def holds(fine: Tensor, sims: Tensor, claim: str) -> None:
    """Raise AssertionError with the first token (a row of sims) for which ``fine`` (t, ...) is not true throughout."""
    if not fine.all():
        row = int((~fine).reshape(len(sims), -1).any(-1).nonzero()[0])
        raise AssertionError(f"{shown(sims[row])}: {claim}")


def same(got: Tensor, expected: Tensor, sims: Tensor, how: str) -> None:
    """Raise AssertionError with the first token (a row of sims) whose value (t, ...) is not the expected one."""
    fine = (got - expected).abs() <= EXACT * (1 + expected.abs())
    if not fine.all():
        at = tuple((~fine).nonzero()[0].tolist())
        holds(fine, sims, f"expected {float(expected[at]):.6g}, got {float(got[at]):.6g} {how}")


def shown(sims: Tensor) -> str:
    """One token's similarities (p) as a message writes them."""
    numbers = ", ".join("masked" if one == MASKED else f"{one:g}" for one in sims[:SHOWN].tolist())
    more = f", … ({len(sims)} patches)" if len(sims) > SHOWN else ""
    return f"similarities [{numbers}{more}]"


def derivative(scores: Tensor, *sims: Tensor) -> tuple[Tensor, ...]:
    """∂Σ scores/∂sims. Raises AssertionError where scores carry no gradient."""
    assert scores.requires_grad, "the scores carry no gradient: they are detached from the similarities"
    found = torch.autograd.grad(scores.sum(), sims, allow_unused=True)
    return tuple(torch.zeros_like(x) if one is None else one for one, x in zip(found, sims, strict=True))


def split(aggregator: Aggregator) -> None:
    """A document read in blocks scores what it scores in one block, whichever states are merged first."""
    for sims in documents():
        whole = aggregator(sims)
        for places in cuts(sims.shape[-1]):
            same(streamed(aggregator, sims, places), whole, sims, f"when cut at {places}")
            *others, last = [aggregator.reduce(block) for block in blocks(sims, places)]
            for state in reversed(others):
                last = aggregator.merge(state, last)
            same(aggregator.finish(last), whole, sims, f"when cut at {places} and merged from the end")


def order(aggregator: Aggregator) -> None:
    """The order of a document's patches changes nothing."""
    for sims in documents():
        for how, turned in (("reversed", sims.flip(-1)), ("rotated by one", sims.roll(1, -1))):
            same(aggregator(turned), aggregator(sims), sims, f"when {how}")


def tokens(aggregator: Aggregator) -> None:
    """A query token's score depends on its own similarities alone, whatever axes stand before the patches."""
    for sims in documents():
        got, alone = aggregator(sims), torch.cat([aggregator(row[None]) for row in sims])
        assert got.shape == sims.shape[:-1], f"scores of {tuple(sims.shape)} similarities are {tuple(got.shape)}"
        same(got, alone, sims, "beside other tokens")
        same(aggregator(torch.stack([sims, sims.flip(0)]))[0], alone, sims, "beside another document")


def mask(aggregator: Aggregator) -> None:
    """Padded slots change no score and get no gradient, wherever they stand, also a block of nothing else."""
    for sims in documents():
        pad, half = torch.full((len(sims), 3), MASKED, dtype=sims.dtype), sims.shape[-1] // 2
        left, right, whole = sims[:, :half], sims[:, half:], aggregator(sims)
        for parts in ((sims, pad), (pad, sims), (left, pad, right)):
            same(aggregator(torch.cat(parts, -1)), whole, sims, "with padded slots")
        reduce, merge, finish = aggregator.reduce, aggregator.merge, aggregator.finish
        same(finish(merge(reduce(sims), reduce(pad))), whole, sims, "before a block of padded slots")
        if half:
            padded = merge(reduce(torch.cat([left, pad], -1)), reduce(torch.cat([right, pad], -1)))
            same(finish(padded), finish(merge(reduce(left), reduce(right))), sims, "each of two blocks padded")
        leaf, slots = sims.clone().requires_grad_(), pad.requires_grad_()
        _, gradient = derivative(aggregator(torch.cat([leaf, slots], -1)), leaf, slots)
        holds(gradient == 0, sims, "a padded slot gets gradient")


def one_patch(aggregator: Aggregator) -> None:
    """A document of one patch scores that patch's similarity."""
    for sims in documents():
        same(aggregator(sims[:, :1]), sims[:, 0], sims[:, :1], "for the only patch")


def gradient(aggregator: Aggregator) -> None:
    """The gradient is finite, that of a document read in blocks is that of the whole, and finite differences agree."""
    for sims in documents():
        ordered = sims.sort(dim=-1).values
        leaf = sims[(ordered.diff(dim=-1) > 0).all(-1)].requires_grad_()  # where patches tie there may be several
        (whole,) = derivative(aggregator(leaf), leaf)
        holds(whole.isfinite(), leaf, "the gradient is not finite")
        for places in cuts(sims.shape[-1]):
            (parts,) = derivative(streamed(aggregator, leaf, places), leaf)
            same(parts, whole, leaf, f"as a patch's gradient when cut at {places}")
    for patches in (1, 2, 7):
        leaf = generic(1, patches).requires_grad_()
        if not torch.autograd.gradcheck(aggregator, (leaf,), raise_exception=False):
            (whole,) = derivative(aggregator(leaf), leaf)
            raise AssertionError(f"{shown(leaf[0])}: gradient {whole[0].tolist()}, but finite differences differ")


def closed(aggregator: Aggregator) -> None:
    """The closed gradient, where there is one, is what autograd finds."""
    for sims in (*documents(), generic(5, 30), generic(2, 1)):
        got, expected = aggregator.gradient(sims), Aggregator.gradient(aggregator, sims)
        same(got, expected, sims, "as a patch's gradient")


def first_tie(aggregator: Aggregator) -> None:
    """Where patches tie, no later patch gets more gradient than the first."""
    for sims in documents():
        leaf = sims.clone().requires_grad_()
        for places in ([], *cuts(sims.shape[-1])):
            (found,) = derivative(streamed(aggregator, leaf, places), leaf)
            first = (sims[:, :, None] == sims[:, None, :]).double().argmax(-1)  # of the patches like patch j
            fair = found <= found.gather(-1, first) + EXACT
            holds(fair, sims, f"a later patch of a tie gets more gradient than the first, cut at {places}")


def untouched(aggregator: Aggregator) -> None:
    """reduce, merge and finish leave what they are given as it was: a state is scored and goes on."""
    for sims in documents():
        if sims.shape[-1] < 2:
            continue
        given = sims.clone()
        left, right = (aggregator.reduce(block) for block in blocks(given, [sims.shape[-1] // 2]))
        same(given, sims, sims, "as a similarity after reduce")
        before = aggregator.finish(left).clone(), aggregator.finish(right).clone()
        aggregator.merge(left, right)
        for state, score in zip((left, right), before, strict=True):
            same(aggregator.finish(state), score, sims, "when its state is scored again")


def spec(aggregator: Aggregator) -> None:
    """The spec, which is its name in every table, makes the same aggregator again."""
    assert aggregator.name, f'{type(aggregator).__name__} has no name; put @aggregator("name") above its class'
    try:
        again = AGGREGATORS.make(str(aggregator))
    except OptionError as error:
        raise AssertionError(f"spec {str(aggregator)!r} cannot be read: {error}") from None
    assert again == aggregator, f"spec {str(aggregator)!r} makes {again!r}, not {aggregator!r}"


def share(aggregator: Aggregator) -> None:
    """The share that other patches hold lies in 0 … 1, is no less where they are larger, and at most half in a tie.

    An aggregator without the notion of a share returns None.
    """
    for sims in documents():
        own, *others = (aggregator.reduce(one) for one in (sims, sims - 100.0, sims, sims + 100.0))
        shares = [one for other in others if (one := aggregator.share(own, other)) is not None]
        if not shares:
            return
        low, tied, high = shares
        for one in shares:
            holds((one >= 0) & (one <= 1), sims, "a share lies outside 0 … 1")
        holds(low <= high + EXACT, sims, "patches far below its own hold more than patches far above")
        holds(tied <= 0.5 + EXACT, sims, "patches equal to its own hold more than half")


LAWS: tuple[Law, ...] = (split, order, tokens, mask, one_patch, gradient, closed, first_tie, untouched, spec, share)
