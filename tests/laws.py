"""The laws every operator obeys, as functions that raise AssertionError: built-in operators and plugins alike run them.

sims are float64 (t, p) unless a law says otherwise.
"""

from __future__ import annotations

import numpy as np
import torch

from harness.aggregators import AGGREGATORS, MASKED, Aggregator
from harness.records import Arm
from harness.scoring.sweep import sweep
from tests.conftest import all_candidates, multivectors


def sims(t: int, p: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.4, (t, p)))


def streamed(agg: Aggregator, x: torch.Tensor, cuts: list[int]) -> torch.Tensor:
    state, start = None, 0
    for stop in [*sorted(set(cuts)), x.shape[-1]]:
        if stop > start:
            part = agg.reduce(x[..., start:stop])
            state, start = part if state is None else agg.merge(state, part), stop
    return agg.finish(state)


def close(a, b, tolerance=1e-9):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=tolerance, rtol=tolerance)


def split(agg):
    """Any split of the stream gives the same score."""
    x = sims(5, 37)
    for cuts in ([1], [36], [5, 6, 20], list(range(1, 37))):
        close(streamed(agg, x, cuts), agg(x))


def order(agg):
    """The order of patches is irrelevant."""
    x = sims(5, 23)
    close(agg(x[:, torch.randperm(23, generator=torch.Generator().manual_seed(1))]), agg(x))


def mask(agg):
    """Padded slots change nothing and get zero gradient, wherever they stand, also a block of nothing else."""
    x = sims(4, 11).requires_grad_()
    pad = torch.full((4, 6), MASKED, dtype=x.dtype, requires_grad=True)
    for padded in (torch.cat([x, pad], -1), torch.cat([x[:, :3], pad, x[:, 3:]], -1)):
        close(agg(padded), agg(x))
        close(streamed(agg, padded, [3, 9]), agg(x))
        (gradient,) = torch.autograd.grad(agg(padded).sum(), pad)
        assert not gradient.any()
    close(agg.finish(agg.merge(agg.reduce(x), agg.reduce(pad))), agg(x))


def one_patch(agg):
    """With one patch the score is that patch's similarity."""
    x = sims(6, 1)
    close(agg(x), x[:, 0])


def gradient(agg):
    """The streamed gradient is the dense one, finite, and right by finite differences."""
    x = sims(3, 17).requires_grad_()
    (dense,) = torch.autograd.grad(agg(x).sum(), x)
    (split_up,) = torch.autograd.grad(streamed(agg, x, [2, 9]).sum(), x)
    assert torch.isfinite(dense).all()
    close(split_up, dense)
    assert torch.autograd.gradcheck(lambda y: agg(y), (sims(2, 7).requires_grad_(),))


def first_tie(agg):
    """Where patches tie, no later patch gets more gradient than the first."""
    x = torch.tensor([[0.5, 0.1, 0.5, 0.5]], dtype=torch.float64, requires_grad=True)
    for scores in (agg(x), streamed(agg, x, [1, 3])):
        (got,) = torch.autograd.grad(scores.sum(), x)
        assert got[0, 0] >= got[0, 2] - 1e-12 and got[0, 0] >= got[0, 3] - 1e-12


def spec(agg):
    """The canonical spec makes the same operator again."""
    assert AGGREGATORS.make(str(agg)) == agg


def compiled(agg):
    """The sweep, compiled or not, equals the operator's torch functions on each document by itself.

    τ·log amplifies the rounding of float32 by τ, hence the tolerance.
    """
    tolerance = 1e-5 * max(1.0, getattr(agg, "tau", 1.0))
    documents = multivectors([1, 2, 5, 40, 64, 130, 300], dim=24, seed=3)
    queries = multivectors([1, 3, 17, 33], dim=24, seed=4, prefix="q")
    lengths = [1, 4, 32, 128, 512]
    scores = sweep(documents, queries, all_candidates(queries, documents), Arm("truncate", None, None), lengths, [agg])
    for q in range(len(queries)):
        for d in range(len(documents)):
            x = torch.from_numpy(queries.of(q).astype(np.float64) @ documents.of(d).astype(np.float64).T)
            for at, length in enumerate(lengths):
                close(scores.values[0, at, q, d].astype(np.float64), agg(x[:, :length]).sum(), tolerance)


def share(agg):
    """The injected share is a share, 0 for patches far below, nearly all for patches far above, and counts ties as own.

    An operator without the notion of a share says None.
    """
    own, low, high = sims(5, 12), sims(5, 7) - 1e4, sims(5, 7) + 1e4
    states = [agg.reduce(x) for x in (own, low, high, own)]
    below, above, tied = (agg.share(states[0], other) for other in states[1:])
    if below is None:
        return
    assert ((below >= 0) & (below <= 1) & (above >= 0) & (above <= 1)).all()
    assert (above >= below - 1e-12).all()
    assert (tied <= 0.5 + 1e-12).all()


LAWS = [split, order, mask, one_patch, gradient, first_tie, spec, compiled, share]
