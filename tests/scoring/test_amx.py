"""Products of float16 by the matrix unit: those of float64 but for the sums' rounding, whatever the shapes."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.aggregators import AGGREGATORS
from harness.records import Candidates, MultiVectors
from harness.scoring import amx, products
from harness.scoring.attack import attack
from harness.scoring.llvm import OPTIONS, configure_tiles, release_tiles
from harness.scoring.products import whole
from harness.scoring.sweep import sweep
from harness.vectors.arms import make_arm
from harness.vectors.injections import Injection

unit = pytest.mark.skipif(not amx.available(), reason="this processor has no matrix unit for bfloat16")


@nb.njit(**OPTIONS)
def multiplied(own, filler, tokens, packed, bounds, queries, lanes):
    configure_tiles()
    patches = len(own) + len(filler)
    space = products.spaces(packed, tokens, own, patches, lanes)
    products.write(packed, own, filler, space)
    sims = np.empty(products.shape(packed, lanes, patches, tokens.shape[1]), np.float32)
    products.compare(0, tokens, packed, bounds, queries, space, sims)
    release_tiles()
    return sims


@unit
@settings(deadline=None, max_examples=60)
@given(
    patches=st.integers(1, 70),
    filler=st.integers(0, 20),
    dims=st.integers(1, 100),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    scale=st.sampled_from([1e-7, 1e-3, 1.0, 200.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_is_multiplied_as_float64_would(patches, filler, dims, lengths, scale, seed):
    random = np.random.default_rng(seed)
    document = (scale * random.standard_normal((patches + filler, dims))).astype(np.float16)
    bounds = np.concatenate([[0], np.cumsum(lengths)]) + 3
    tokens = random.standard_normal((bounds[-1] + 2, dims)).astype(np.float16)
    packed = amx.packed(tokens, np.concatenate([[0], bounds, [len(tokens)]]))
    queries = random.permutation(len(lengths))
    wanted = np.concatenate([tokens[bounds[one] : bounds[one + 1]] for one in queries])
    halves = document.view(np.uint16)
    sims = multiplied(
        halves[:patches],
        halves[patches:],
        tokens.astype(np.float32),
        packed,
        bounds,
        queries,
        max(16, whole(len(wanted))),
    )
    exact = document.astype(float) @ wanted.astype(float).T
    size = np.abs(document.astype(float)) @ np.abs(wanted.astype(float)).T
    found = sims[: len(document), : len(wanted)]
    assert (np.abs(found - exact) <= 1e-30 + 2**-22 * max(4, dims / 4) * size).all()


@unit
def test_every_float16_is_the_sum_of_its_two_halves():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].astype(np.float32).astype(np.float16)[:, None]
    packed = amx.packed(finite, np.arange(len(finite) + 1))[16:-16].reshape(-1, 2, 16)
    halves = (packed[:, :, 0] << np.uint32(16)).view(np.float32)  # of the first of each pair of dimensions
    np.testing.assert_array_equal(halves.sum(1), finite[:, 0].astype(np.float32))


def corpus(seed: int) -> tuple[MultiVectors, MultiVectors, Candidates]:
    random = np.random.default_rng(seed)

    def made(kind: str, counts: np.ndarray) -> MultiVectors:
        vectors = random.standard_normal((counts.sum(), 40))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return MultiVectors(
            [f"{kind}{at}" for at in range(len(counts))],
            vectors.astype(np.float16),
            np.concatenate([[0], np.cumsum(counts)]),
        )

    documents, queries = made("d", random.integers(1, 60, 30)), made("q", random.integers(1, 40, 9))
    rows = np.array([random.permutation(30)[:12] for _ in range(9)])
    return documents, queries, Candidates(queries.ids, documents.ids, rows, "random", 1.0)


@unit
@pytest.mark.parametrize("arm", ["truncate", "pad"])
def test_scores_do_not_depend_on_having_the_unit(monkeypatch, arm):
    documents, queries, candidates = corpus(1)
    lengths = [4, 16, 50]
    asked = make_arm(arm, lengths, None, "distractor", 0), lengths, [AGGREGATORS.make(one) for one in AGGREGATORS]
    with_unit = sweep(documents, queries, candidates, *asked).values
    monkeypatch.setattr(amx, "available", lambda: False)
    without = sweep(documents, queries, candidates, *asked).values
    np.testing.assert_allclose(with_unit, without, atol=1e-5)
    assert not np.array_equal(with_unit, without)  # they are two ways, not one


@unit
def test_attacks_do_not_depend_on_having_the_unit(monkeypatch):
    documents, queries, candidates = corpus(2)
    asked = Injection("hard", (0, 3, 20)), [AGGREGATORS.make(one) for one in ("maxsim", "topk:4", "softmax:0.1")]
    with_unit = attack(documents, queries, candidates, *asked)
    monkeypatch.setattr(amx, "available", lambda: False)
    without = attack(documents, queries, candidates, *asked)
    np.testing.assert_allclose(with_unit.values, without.values, atol=1e-5)
    np.testing.assert_allclose(with_unit.hijacked, without.hijacked, atol=1e-5)


def test_float32_tokens_are_not_rounded_to_fit_the_unit():
    tokens = np.full((4, 8), 1 / 3, np.float32)
    assert len(amx.packed(tokens, np.array([0, 4]))) == 0
