"""The scoring pass against loops, and what a score must not depend on."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.aggregators import AGGREGATORS
from harness.engines.local import Local
from harness.records import Candidates
from harness.scoring import blas, tasks
from harness.scoring.sweep import sweep
from harness.vectors.arms import make_arm
from harness.vectors.fills import FILLS
from harness.vectors.streams import streams
from tests.aggregators.test_laws import loop
from tests.conftest import all_candidates, multivectors

LENGTHS = [2, 8, 32, 100]
POOLS = ["maxsim", "topk:3", "softmax:0.1", "logsumexp:0.05", "logmeanexp:0.5", "mean"]
DOCUMENTS = multivectors([3, 1, 70, 33, 8, 150, 20, 64, 5, 31], dim=40, seed=1)
QUERIES = multivectors([5, 1, 32, 12], dim=40, seed=2, prefix="q")
AGGREGATORS_MADE = [AGGREGATORS.make(pool) for pool in POOLS]


def arm(name="truncate", fill="distractor"):
    return make_arm(name, LENGTHS, None, fill, seed=0)


def scores(candidates, chosen=None, **options):
    return sweep(DOCUMENTS, QUERIES, candidates, chosen or arm(), LENGTHS, AGGREGATORS_MADE, **options)


@pytest.mark.parametrize("fill", list(FILLS))
@pytest.mark.parametrize("name", ["truncate", "pad", "equalize"])
def test_scores_equal_a_loop_over_documents_tokens_and_patches(name, fill):
    chosen = arm(name, fill)
    got = scores(all_candidates(QUERIES, DOCUMENTS), chosen)
    whole = streams(DOCUMENTS, chosen, LENGTHS)
    for q in range(len(QUERIES)):
        for d in range(len(DOCUMENTS)):
            patches = whole.of(d).astype(float).tolist()
            for at, length in enumerate(LENGTHS):
                cut = patches[: min(length, len(patches))]
                sims = [
                    [sum(map(float.__mul__, token, patch)) for patch in cut]
                    for token in QUERIES.of(q).astype(float).tolist()
                ]
                for a, pool in enumerate(POOLS):
                    expected = sum(loop(pool, row) for row in sims)
                    assert got.values[a, at, q, d] == pytest.approx(expected, abs=1e-5), (pool, length, q, d)


def subset(random, depth):
    rows = np.stack([random.permutation(len(DOCUMENTS))[:depth] for _ in range(len(QUERIES))])
    return Candidates(QUERIES.ids, DOCUMENTS.ids, rows, "test", 1.0)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), depth=st.integers(1, 10), threads=st.integers(1, 3))
def test_a_score_depends_on_its_query_and_document_alone(seed, depth, threads):
    """Other candidates, their order, and the number of threads leave every score bit for bit the same."""
    whole = scores(all_candidates(QUERIES, DOCUMENTS), arm("pad")).values
    some = subset(np.random.default_rng(seed), depth)
    got = scores(some, arm("pad"), engine=Local(threads)).values
    for q in range(len(QUERIES)):
        np.testing.assert_array_equal(got[:, :, q], whole[:, :, q, some.rows[q]])


def test_the_size_of_a_task_and_of_a_block_changes_nothing(monkeypatch):
    whole = scores(all_candidates(QUERIES, DOCUMENTS)).values
    monkeypatch.setattr(tasks, "DOCUMENTS", 1)
    np.testing.assert_array_equal(scores(all_candidates(QUERIES, DOCUMENTS)).values, whole)


def test_a_cell_does_not_depend_on_the_other_lengths_or_operators():
    whole = scores(all_candidates(QUERIES, DOCUMENTS), arm("pad")).values
    for at, length in enumerate(LENGTHS):
        alone = sweep(
            DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), arm("pad"), [length], AGGREGATORS_MADE[:1]
        )
        np.testing.assert_allclose(alone.values[0, 0], whole[0, at], atol=1e-6)


def test_more_operators_than_one_pass_takes():
    pools = [AGGREGATORS.make(f"topk:{k}") for k in range(1, 12)]
    together = sweep(DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), arm(), LENGTHS, pools)
    for at, pool in enumerate(pools):
        alone = sweep(DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), arm(), LENGTHS, [pool])
        np.testing.assert_array_equal(together.values[at], alone.values[0])


def test_all_negative_similarities_have_no_floor():
    documents = dataclasses.replace(DOCUMENTS, vectors=-np.abs(np.asarray(DOCUMENTS.vectors)))
    queries = dataclasses.replace(QUERIES, vectors=np.abs(np.asarray(QUERIES.vectors)))
    got = sweep(documents, queries, all_candidates(queries, documents), arm(), LENGTHS, AGGREGATORS_MADE[:1])
    assert (got.values < 0).all()


def test_empty_slots_stay_empty_and_are_not_ranked():
    rows = np.array([[3, -1, 2], [-1, -1, -1], [0, 1, 2], [9, -1, -1]])
    got = scores(Candidates(QUERIES.ids, DOCUMENTS.ids, rows, "test", 1.0))
    assert np.isnan(got.values[..., rows < 0]).all() and not np.isnan(got.values[..., rows >= 0]).any()
    ranked = list(got.run("maxsim", 8))
    assert [len([one for one in ranked if one.query_id == name]) for name in QUERIES.ids] == [2, 0, 3, 1]


def test_a_ranking_is_best_first_and_cut_at_depth():
    got = scores(all_candidates(QUERIES, DOCUMENTS))
    for query in QUERIES.ids:
        ranked = [one.score for one in got.run("topk:3", 32, depth=4) if one.query_id == query]
        assert len(ranked) == 4 and ranked == sorted(ranked, reverse=True)


def test_the_truncate_and_pad_arms_agree_at_the_shortest_length_bit_for_bit():
    documents = multivectors([40, 90, 33, 64], dim=40, seed=5)
    lengths = [32, 64]
    cut, pad = (
        sweep(
            documents,
            QUERIES,
            all_candidates(QUERIES, documents),
            make_arm(name, lengths, None, "distractor", 0),
            lengths,
            AGGREGATORS_MADE,
        ).values
        for name in ("truncate", "pad")
    )
    np.testing.assert_array_equal(cut[:, 0], pad[:, 0])


def test_without_mkl_numba_multiplies(monkeypatch):
    made = [AGGREGATORS.make(one) for one in ("maxsim", "topk:4", "softmax:0.1")]
    arm = make_arm("truncate", [4], None, "zero", 0)
    question = DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), arm, [4, 64], made
    before = sweep(*question).values
    monkeypatch.setattr(blas, "sgemm", lambda: 0)
    np.testing.assert_allclose(sweep(*question).values, before, atol=1e-4, rtol=1e-5)
