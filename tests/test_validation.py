"""What the pages of reports/validation say, on small inputs: other implementations and loops in float64 agree."""

from __future__ import annotations

import numpy as np
import pytest

from validation import implementations

CASES = implementations.cases(tokens=3, dim=16, longest=2000)


@pytest.mark.parametrize("name", ["harness", "colbert", "maxsim-cpu"])
def test_maxsim_is_the_same_everywhere(name):
    if name == "maxsim-cpu":
        pytest.importorskip("maxsim_cpu")
    for case, scores in implementations.asked([name], CASES)[name].items():
        assert implementations.apart(scores, implementations.loop("maxsim", CASES[case])) < 1e-4, case


def test_both_forms_of_every_operator_are_loops_in_float64():
    few = {name: CASES[name] for name in ("1 to 2,000 patches", "single patches, all negative")}
    for row in implementations.operators(few):
        assert row["compiled, of a score"] < 1e-5 > row["torch, of a score"], row["operator"]


def test_what_differs_is_named_with_the_loop_that_it_equals():
    def padded(query, documents):
        longest = max(map(len, documents))
        return [
            sum(max(0.0, *token) if len(one) < longest else max(token) for token in (query @ one.T).tolist())
            for one in documents
        ]

    scores = {name: padded(*case) for name, case in CASES.items()}
    rows = {row["case"]: row for row in implementations.explained({"pylate": scores}, CASES)}
    assert "all negative, ragged" in rows and "all negative, equal lengths" not in rows
    assert all(row["difference from a loop that does the same"] < 1e-4 for row in rows.values())
    [*_, other] = implementations.explained({"another": scores}, CASES)
    assert other["because"] == "not explained"


def test_a_score_that_is_no_number_is_infinitely_far():
    assert implementations.apart(np.array([1.0, np.nan]), np.array([1.0, 1.0])) == np.inf
