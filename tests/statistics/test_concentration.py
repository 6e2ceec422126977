"""Gradient concentration: gradients of patches against autograd, figures against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.aggregators import AGGREGATORS
from harness.statistics.concentration import concentration, gini, patch_gradients
from tests.aggregators.test_laws import SPECS


@pytest.mark.parametrize("spec", SPECS)
def test_patch_gradients_are_those_of_the_score(spec):
    agg, random = AGGREGATORS.make(spec), np.random.default_rng(0)
    query, document = (torch.from_numpy(random.standard_normal((n, 8))) for n in (4, 11))
    document.requires_grad_()
    (gradient,) = torch.autograd.grad(agg(query @ document.T).sum(), document)
    got = patch_gradients(agg, query, document.detach())
    torch.testing.assert_close(got, gradient.norm(dim=-1), atol=1e-10, rtol=1e-8)


def slow_gini(g: list[float]) -> float:
    ordered, double = sorted(g), 0.0
    for j in range(len(ordered)):
        for m in range(j + 1):
            double += ordered[m]
    return 1 - 2 / (len(g) * sum(g)) * double


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_gini_is_the_formula_of_the_study(g):
    assert gini(np.array(g)) == pytest.approx(slow_gini(g), abs=1e-9)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_the_standard_gini_is_half_the_relative_mean_difference(g):
    differences = sum(abs(a - b) for a in g for b in g)
    expected = differences / (2 * len(g) * sum(g))
    assert concentration(np.array(g)).gini_standard == pytest.approx(expected, abs=1e-9)


def test_figures_of_one_patch_that_takes_all_and_of_equal_patches():
    one = concentration(np.array([0.0, 0.0, 3.0, 0.0]))
    assert (one.gini, one.gini_standard, one.top_share, one.zero_share) == (0.5, 0.75, 1.0, 0.75)
    assert one.effective_patches == pytest.approx(1.0)
    same = concentration(np.full(5, 2.0))
    assert same.gini == pytest.approx(-1 / 5) and same.gini_standard == pytest.approx(0.0)
    assert same.effective_patches == pytest.approx(5.0) and same.zero_share == 0.0


def test_no_gradient_at_all_has_no_concentration():
    none = concentration(np.zeros(4))
    assert math.isnan(none.gini) and math.isnan(none.top_share) and none.zero_share == 1.0


def test_signs_do_not_matter():
    assert concentration(np.array([1.0, -2.0, 3.0])) == concentration(np.array([1.0, 2.0, 3.0]))
