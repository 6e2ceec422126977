"""Intervals cover, tests hold their level and Holm holds a family's, on simulated collections whose truth is known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.stats import bootstrap

from harness.statistics import inference
from validation.simulated import coverage, nulls, populations, power


def covered(interval: coverage.Interval) -> float:
    """Coverage over three populations of collections of 50 queries; standard error 0.6 %."""
    chosen = [
        one
        for one in populations.populations()
        if one.name
        in ("SciFact: nDCG@10, maxsim, K = 0", "SciFact: R@10 retained, topk:4, K = 100", "written: middling Recall")
    ]
    assert len(chosen) == 3
    return float(np.mean([coverage.covered(interval, one, 50, 400) for one in chosen]))


def test_the_interval_covers_the_truth_as_often_as_it_says_and_a_narrower_one_is_noticed():
    assert 0.93 < covered(coverage.bca) < 0.97
    low, high = (partial(one, level=0.9) for one in (inference.bootstrap, inference.bootstrap_ratio))
    assert covered(lambda drawn, random: (low if len(drawn) == 1 else high)(*drawn, random)) < 0.92


@pytest.mark.parametrize("ratio", [False, True])
def test_the_interval_is_scipys_bca(ratio):
    drawn = populations.written("", "retained", 0.5, 0.1, 0.3).draw(np.random.default_rng(3), 1, 60)

    def statistic(values, base, axis=-1):
        return values.mean(axis) / (base.mean(axis) if ratio else 1.0)

    wanted = bootstrap(
        [one[0] for one in drawn], statistic, paired=True, n_resamples=9999, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    random = np.random.default_rng(1)
    low, high = inference.bootstrap_ratio(*drawn, random) if ratio else inference.bootstrap(drawn[0], random)
    near = 0.04 * (wanted.high - wanted.low)
    assert (low[0], high[0]) == pytest.approx((wanted.low, wanted.high), abs=near)


def rejected(p) -> float:
    """Share of p at most 5 % over real nulls of eval and stress; standard error 0.3 %."""
    random, found = np.random.default_rng(0), []
    for family, size in ((nulls.evaluated("nDCG@10"), 50), (nulls.attacked("R@10"), 300)):
        for _ in range(150):
            drawn = nulls.exchanged(family, random, size)
            found.append(p(drawn[1:] - drawn[0]).ravel())
    every = np.concatenate(found)
    return float((every[~np.isnan(every)] <= 0.05).mean())


def test_p_values_reject_a_true_null_in_five_of_a_hundred_and_smaller_ones_are_noticed():
    assert 0.04 < rejected(nulls.tested) < 0.06
    assert rejected(lambda differences: nulls.tested(differences) / 1.5) > 0.06


def test_the_simulated_test_is_the_programs():
    differences = np.random.default_rng(0).integers(-1, 2, (40, 24)) * (np.arange(24) < np.arange(40)[:, None] % 25) / 8
    got = nulls.tested(differences)
    np.testing.assert_allclose(got, [inference.paired(one, np.zeros(24)).p for one in differences], rtol=1e-12)
    assert 0 < np.isnan(got).sum() < 40


@pytest.mark.parametrize("apart", [0, 1])
def test_holm_holds_a_familys_level_and_uncorrected_tests_do_not(apart):
    family, random, wrong = nulls.evaluated("nDCG@10"), np.random.default_rng(0), []
    for _ in range(300):
        p = family.tests(nulls.exchanged(family, random, 160, apart))
        true = slice(0, len(p) - apart)
        adjusted = inference.holm(p.ravel()).reshape(p.shape)
        wrong.append([(adjusted[true] <= 0.05).any(), (p[true] <= 0.05).any()])
    corrected, plain = np.mean(wrong, axis=0)
    assert corrected < 0.08 < 0.15 < plain  # 0.05 and two and a half standard errors


def test_power_is_of_a_true_difference_and_grows_with_the_queries():
    differences = np.random.default_rng(0).normal(0.3, 0.1, 300) * (np.arange(300) % 3 > 0)
    assert power.shifted(differences, 0.01).mean() == pytest.approx(0.01)
    assert (power.shifted(differences, 0.01) == 0).sum() == 100
    rows = [power.row("pad", "topk:4", size) for size in (50, 300)]
    assert rows[0]["sees 0.01"] < 0.5 < rows[1]["sees 0.01"]
    assert rows[1]["checked"] == pytest.approx(0.8, abs=0.03)
