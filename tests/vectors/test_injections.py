"""Injected patches and the pass that scores them, against loops."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness.aggregators import AGGREGATORS
from harness.engines.local import Local
from harness.records import Arm, Candidates
from harness.scoring.attack import attack
from harness.scoring.sweep import sweep
from harness.vectors.injections import INJECTIONS, Injection
from harness.vectors.injections.base import BANK
from tests.conftest import all_candidates, multivectors

COUNTS = (0, 1, 5, 30)
POOLS = ["maxsim", "topk:3", "softmax:0.2", "logsumexp:0.1", "logmeanexp:0.5", "mean"]
MADE = [AGGREGATORS.make(pool) for pool in POOLS]
DOCUMENTS = multivectors([3, 1, 40, 17, 64, 25], dim=32, seed=1)
QUERIES = multivectors([4, 1, 9], dim=32, seed=2, prefix="q")
TOKENS = QUERIES.of(2).astype(np.float32)


def picks(injection, query_id, document_id):
    """What one pair receives."""
    return injection.picks(*(np.array([injection.stream(name)]) for name in (query_id, document_id)))[0]


@pytest.mark.parametrize("cosine", [0.0, 0.6, 0.95])
def test_a_hard_patch_has_the_asked_cosine_to_a_query_token(cosine):
    bank = Injection("hard", COUNTS, cosine=cosine).bank("q", TOKENS, norm=2.0)
    unit = TOKENS / np.linalg.norm(TOKENS, axis=1, keepdims=True)
    assert bank.shape == (BANK, 32)
    np.testing.assert_allclose(np.linalg.norm(bank, axis=1), 2.0, rtol=1e-5)
    assert (np.abs(bank @ unit.T / 2.0 - cosine).min(axis=1) < 1e-5).all()


def test_a_spike_speaks_to_several_tokens_more_than_chance():
    bank = Injection("spike", COUNTS, tokens=4).bank("q", TOKENS, norm=1.0)
    best = np.sort(bank @ TOKENS.T, axis=1)[:, -4:]
    assert best.mean() > 0.35


def test_the_control_is_aimed_at_nothing():
    bank = Injection("gaussian", COUNTS).bank("q", TOKENS, norm=1.0)
    assert abs((bank @ TOKENS.T).mean()) < 0.02


@pytest.mark.parametrize("kind", list(INJECTIONS))
def test_injected_patches_are_a_function_of_the_seed_and_the_two_ids(kind):
    one, same, other = (Injection(kind, COUNTS, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.bank("q", TOKENS, 1.0), same.bank("q", TOKENS, 1.0))
    assert not np.array_equal(one.bank("q", TOKENS, 1.0), other.bank("q", TOKENS, 1.0))
    assert not np.array_equal(picks(one, "q", "d"), picks(one, "q", "e"))
    assert not np.array_equal(picks(one, "q", "d"), picks(one, "p", "d"))
    assert not np.array_equal(picks(one, "q", "d"), picks(other, "q", "d"))
    assert not np.array_equal(picks(one, "q", "d"), picks(one, "d", "q"))
    longer = dataclasses.replace(one, counts=(0, 1000))
    np.testing.assert_array_equal(picks(longer, "q", "d")[:30], picks(one, "q", "d"))


def test_picks_are_spread_evenly_and_independent_between_pairs():
    many = Injection("hard", (0, 4000))
    drawn = np.stack([picks(many, "q", f"d{number}") for number in range(50)])  # (50, 4000)
    assert drawn.min() >= 0 and drawn.max() < BANK
    counts = np.bincount(drawn.ravel(), minlength=BANK)
    chi = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert abs(chi - BANK) < 5 * np.sqrt(2 * BANK)
    agree = [(drawn[a] == drawn[b]).mean() * BANK for a in range(50) for b in range(a)]
    assert max(agree) < 6 and abs(np.mean(agree) - 1) < 0.1


@pytest.mark.parametrize("kind", list(INJECTIONS))
def test_scores_and_shares_equal_a_loop(kind):
    injection = Injection(kind, COUNTS)
    got = attack(DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), injection, MADE)
    for q in range(len(QUERIES)):
        tokens = QUERIES.of(q).astype(np.float32)
        bank = injection.bank(QUERIES.ids[q], tokens, 1.0).astype(np.float64)
        for d in range(len(DOCUMENTS)):
            own = torch.from_numpy(tokens.astype(np.float64) @ DOCUMENTS.of(d).astype(np.float64).T)
            patches = bank[picks(injection, QUERIES.ids[q], DOCUMENTS.ids[d])]
            injected = torch.from_numpy(tokens.astype(np.float64) @ patches.T)
            for k, count in enumerate(COUNTS):
                for a, agg in enumerate(MADE):
                    whole = agg(torch.cat([own, injected[:, :count]], -1)).sum().item()
                    assert got.values[a, k, q, d] == pytest.approx(whole, abs=2e-3)
                    share = agg.share(agg.reduce(own), agg.reduce(injected[:, :count])).mean().item() if count else 0.0
                    assert got.hijacked[a, k, q, d] == pytest.approx(share, abs=2e-3)


def test_no_injection_is_the_clean_run_to_the_last_digit():
    candidates = all_candidates(QUERIES, DOCUMENTS)
    got = attack(DOCUMENTS, QUERIES, candidates, Injection("hard", COUNTS), MADE)
    clean = sweep(DOCUMENTS, QUERIES, candidates, Arm("truncate", None, None), [64], MADE)
    np.testing.assert_array_equal(got.values[:, 0], clean.values[:, 0])
    assert (got.hijacked[:, 0] == 0).all()


def test_injecting_nothing_changes_nothing():
    candidates = all_candidates(QUERIES, DOCUMENTS)
    got = attack(DOCUMENTS, QUERIES, candidates, Injection("hard", (0,)), MADE)
    assert got.values.shape[1] == 1 and (got.hijacked == 0).all()


def test_results_depend_neither_on_candidate_order_nor_on_company_nor_on_threads():
    whole = attack(DOCUMENTS, QUERIES, all_candidates(QUERIES, DOCUMENTS), Injection("hard", COUNTS), MADE)
    rows = np.array([[5, 2, -1], [0, 4, 3], [-1, 1, 2]])
    some = Candidates(QUERIES.ids, DOCUMENTS.ids, rows, "test", 1.0)
    got = attack(DOCUMENTS, QUERIES, some, Injection("hard", COUNTS), MADE, engine=Local(3))
    for q, slot in np.argwhere(rows >= 0):
        np.testing.assert_array_equal(got.values[:, :, q, slot], whole.values[:, :, q, rows[q, slot]])
        np.testing.assert_array_equal(got.hijacked[:, :, q, slot], whole.hijacked[:, :, q, rows[q, slot]])
    assert np.isnan(got.values[..., rows < 0]).all() and np.isnan(got.hijacked[..., rows < 0]).all()


def test_an_operator_without_a_kernel_or_a_share_is_attacked_too(plain):
    candidates = all_candidates(QUERIES, DOCUMENTS)
    got = attack(DOCUMENTS, QUERIES, candidates, Injection("hard", COUNTS), [plain(), MADE[0]])
    np.testing.assert_allclose(got.values[0], got.values[1], atol=1e-5)
    assert np.isnan(got.hijacked[0, 1:]).all() and (got.hijacked[0, 0] == 0).all()
