"""Scores and gradients of a batch against loops and autograd in float64, and what they must not depend on.

Vectors lie on a grid of eighths, so that float32 similarities are exact: ties are many, and are ties in float64 too.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import harness.scoring.contrast as room
from harness.aggregators import AGGREGATORS, Aggregator, aggregator, real
from harness.scoring.compiled import LANES
from harness.scoring.contrast import contrast
from harness.scoring.kernels import kernel_of
from tests.aggregators.test_laws import SPECS

COUNTS = st.lists(st.integers(1, 12), min_size=1, max_size=5)
FEW = ["maxsim", "topk:4", "softmax:0.1", "logsumexp:0.1", "logmeanexp:0.1", "mean"]
LONG = [[LANES], [300, 7, 400], [LANES - 1, 2, LANES + 1]]  # tokens of queries
SHARP = ["softmax:1e-3", "logsumexp:1e-3", "logmeanexp:1e-3"]


def grid(shape, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float32) / 8)


def problem(token_counts, patch_counts, seed: int = 0, dim: int = 6):
    """Arguments of contrast after the operator, and slopes (Q, D) that differ from cell to cell."""
    tokens, patches = grid((sum(token_counts), dim), seed), grid((sum(patch_counts), dim), seed + 1)
    return (tokens, token_counts, patches, patch_counts), grid((len(token_counts), len(patch_counts)), seed + 2)


def loop(agg, tokens, token_counts, patches, patch_counts) -> torch.Tensor:
    """Every query with every document by itself, in float64."""
    queries, documents = tokens.double().split(token_counts), patches.double().split(patch_counts)
    return torch.stack([torch.stack([agg(query @ one.T).sum() for one in documents]) for query in queries])


def derive(scorer, agg, arguments, slopes):
    """scorer's scores (Q, D), ∂Σ slopes·scores/∂tokens and ∂Σ slopes·scores/∂patches."""
    tokens, token_counts, patches, patch_counts = arguments
    leaves = [one.clone().requires_grad_() for one in (tokens, patches)]
    scores = scorer(agg, leaves[0], token_counts, leaves[1], patch_counts)
    return scores.detach(), *torch.autograd.grad((scores * slopes).sum(), leaves)


def close(got, expected, tolerance=2e-5):
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected.double(), atol=tolerance, rtol=2e-5)


def agrees(agg, arguments, slopes):
    """Scores and gradients are the loop's; τ·log amplifies the rounding of float32 by τ."""
    got, expected = derive(contrast, agg, arguments, slopes), derive(loop, agg, arguments, slopes)
    for one, other, scale in zip(got, expected, (getattr(agg, "tau", 1.0), 1.0, 1.0), strict=True):
        close(one, other, 2e-5 * max(1.0, scale))


@pytest.fixture(scope="module", autouse=True)
def half():
    """An operator from outside, without a kernel."""

    @aggregator("test-half")
    class Half(Aggregator):
        """Half the largest similarity, half the mean."""

        def reduce(self, sims):
            keep = real(sims)
            return sims.max(-1).values, sims.where(keep, 0.0).sum(-1), keep.sum(-1)

        def finish(self, state):
            return (state[0] + state[1] / state[2]) / 2

    assert kernel_of(Half()) is None
    yield Half()
    AGGREGATORS.forget("test-half")


@pytest.mark.parametrize("spec", [*SPECS, "test-half"])
@settings(max_examples=8)
@given(token_counts=COUNTS, patch_counts=COUNTS, seed=st.integers(0, 10**6), dim=st.integers(1, 20))
def test_scores_and_gradients_are_those_of_a_loop_for_any_ragged_batch(spec, token_counts, patch_counts, seed, dim):
    agrees(AGGREGATORS.make(spec), *problem(token_counts, patch_counts, seed, dim))


@pytest.mark.parametrize("token_counts", LONG, ids=str)
@pytest.mark.parametrize("spec", FEW)
def test_queries_may_be_longer_than_a_block_of_lanes_or_cross_it(spec, token_counts):
    agrees(AGGREGATORS.make(spec), *problem(token_counts, [3, 1, 20]))


@pytest.mark.parametrize("spec, k", [("maxsim", 1), ("topk:1", 1), ("topk:3", 3), ("topk:4", 4), ("topk:6", 6)])
@settings(max_examples=25)
@given(levels=st.lists(st.integers(-2, 2), min_size=1, max_size=14))
def test_a_tie_goes_to_the_first_patch(spec, k, levels):
    """One token takes the highest levels, one the lowest; each has a coordinate to itself."""
    patches = torch.tensor([[level, level] for level in levels], dtype=torch.float32)
    arguments = (torch.tensor([[1.0, 0.0], [0.0, -1.0]]), [2], patches, [len(levels)])
    _, _, got = derive(contrast, AGGREGATORS.make(spec), arguments, torch.ones(1, 1))
    expected = torch.zeros_like(patches)
    for at, sign in enumerate((1, -1)):
        best = sorted(range(len(levels)), key=lambda patch, sign=sign: -sign * levels[patch])[:k]
        expected[best, at] = sign / len(best)
    close(got, expected, 1e-6)


@pytest.mark.parametrize("k", [8, 9, 100])
def test_top_k_of_no_more_than_k_patches_is_their_mean(k):
    arguments, slopes = problem([3, 1, 5], [1, 8, 7, 2])
    found = [derive(contrast, AGGREGATORS.make(name), arguments, slopes) for name in (f"topk:{k}", "mean")]
    for got, expected in zip(*found, strict=True):
        close(got, expected, 1e-6)


@pytest.mark.parametrize("spec", [*SPECS, *SHARP, "test-half"])
def test_a_document_of_one_patch_scores_its_similarity(spec):
    (tokens, counts, patches, _), slopes = problem([4, 1, 2], [1, 1, 1])
    got = derive(contrast, AGGREGATORS.make(spec), (tokens, counts, patches, [1] * 3), slopes)
    sums, to_tokens = torch.stack([one.sum(0) for one in tokens.split(counts)]), slopes @ patches
    to_tokens = to_tokens.repeat_interleave(torch.tensor(counts), 0)
    for one, expected in zip(got, (sums @ patches.T, to_tokens, slopes.T @ sums), strict=True):
        close(one, expected)


@pytest.mark.parametrize("held", [1, 150, 300])
def test_an_operator_without_a_kernel_holds_few_similarities_at_once(monkeypatch, half, held):
    """Ten tokens and at most nine patches: one to three documents a block, each block made again for the gradient."""
    sizes, reduce = [], type(half).reduce
    arguments, slopes = problem([3, 7], [9, 1, 4, 9, 2, 6, 5])
    whole = derive(contrast, half, arguments, slopes)
    monkeypatch.setattr(room, "HELD", held)
    monkeypatch.setattr(type(half), "reduce", lambda self, sims: sizes.append(sims.numel()) or reduce(self, sims))
    for got, expected in zip(derive(contrast, half, arguments, slopes), whole, strict=True):
        close(got, expected, 1e-6)
    assert max(sizes) <= max(held, 10 * 9)
    assert len(sizes) >= 4 and sorted(sizes[: len(sizes) // 2]) == sorted(sizes[len(sizes) // 2 :])


@pytest.mark.parametrize("spec", [*FEW, "test-half"])
def test_the_layout_of_vectors_and_slopes_in_memory_changes_nothing(spec):
    (tokens, token_counts, patches, patch_counts), slopes = problem([3, 1, 5], [4, 1, 7])
    agg = AGGREGATORS.make(spec)
    expected = derive(contrast, agg, (tokens, token_counts, patches, patch_counts), slopes)
    wide, tall = tokens.repeat_interleave(2, 1).requires_grad_(), patches.T.contiguous().requires_grad_()
    scores = contrast(agg, wide[:, ::2], token_counts, tall.T, patch_counts)
    to_wide, to_tall = torch.autograd.grad((scores.T * slopes.T.contiguous()).sum(), (wide, tall))
    for got, one in zip((scores, to_wide[:, ::2], to_tall.T), expected, strict=True):
        torch.testing.assert_close(got, one, atol=1e-6, rtol=1e-6)
    assert not to_wide[:, 1::2].any()


@pytest.mark.parametrize("spec", SHARP)
def test_a_sharp_temperature_has_the_gradients_of_a_loop(spec):
    """Vectors so short that similarities lie a quarter of the temperature apart."""
    (tokens, token_counts, patches, patch_counts), slopes = problem([3, 9], [1, 12, 50])
    agrees(AGGREGATORS.make(spec), (tokens / 8, token_counts, patches / 8, patch_counts), slopes)


@pytest.mark.parametrize("scale", [1 / 8, 1.0, 8.0, 1024.0])
@pytest.mark.parametrize("spec", [*SHARP, "softmax:1e-6", "logsumexp:1e-6", "logmeanexp:1e-6"])
def test_extreme_temperatures_give_finite_scores_and_gradients(spec, scale):
    (tokens, token_counts, patches, patch_counts), slopes = problem([3, 9], [1, 12, 50])
    arguments = (tokens * scale, token_counts, patches * scale, patch_counts)
    assert all(one.isfinite().all() for one in derive(contrast, AGGREGATORS.make(spec), arguments, slopes))


@pytest.mark.parametrize("spec", [*FEW, "test-half"])
@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_reach_the_parameters_of_an_encoder_of_queries_and_of_documents(spec, frozen):
    (tokens, token_counts, patches, patch_counts), slopes = problem([3, 1, 5], [4, 1, 7])
    single = torch.nn.Linear(6, 6)
    single.load_state_dict({"weight": grid((6, 6), 7), "bias": grid(6, 8)})
    double, found = copy.deepcopy(single).double(), []
    for scorer, encode in ((contrast, single), (loop, double)):
        x, y = (one.to(encode.weight.dtype) for one in (tokens, patches))
        encoded = encode(y).detach() if frozen else encode(y)
        scores = scorer(AGGREGATORS.make(spec), encode(x), token_counts, encoded, patch_counts)
        found.append(torch.autograd.grad((scores * slopes).sum(), list(encode.parameters())))
    for got, expected in zip(*found, strict=True):
        close(got, expected)


@pytest.mark.parametrize("spec", FEW)
def test_the_number_of_threads_changes_no_bit(spec):
    random = torch.Generator().manual_seed(0)
    tokens, patches, slopes = (torch.randn(shape, generator=random) / 8 for shape in ((700, 64), (2737, 64), (2, 4)))
    arguments, before, found = (tokens, [400, 300], patches, [900, 1100, 37, 700]), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(derive(contrast, AGGREGATORS.make(spec), arguments, slopes))
    finally:
        torch.set_num_threads(before)
    assert [torch.equal(*pair) for pair in zip(*found, strict=True)] == [True, True, True]
