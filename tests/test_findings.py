"""What a report says in words: each outcome from constructed numbers, and nothing that the tests do not carry."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from harness.reports import findings


def summary(values: dict[str, tuple[float, float]], arm: str = "pad") -> pd.DataFrame:
    """Rows of one arm and measure at L = 32 and 256."""
    rows = [
        {"arm": arm, "pool": pool, "length": length, "measure": "nDCG@10", "value": value, "ci_low": value - 0.01,
         "ci_high": value + 0.01, "retained": value / both[0], "n_queries": 50}
        for pool, both in values.items() for length, value in zip((32, 256), both, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"length": "Int64"})


def holm(rows: list[tuple]) -> pd.DataFrame:
    """(pool, length or slope, mean difference, Holm-corrected p)."""
    return pd.DataFrame(rows, columns=["pool", "length", "mean_difference", "p_holm"])


VALUES = {"maxsim": (0.6, 0.5), "topk:4": (0.6, 0.4)}
SLOPES = {"maxsim": -0.0333, "topk:4": -0.0667}


def said(rows, values=VALUES, slopes=SLOPES):
    return " ".join(findings.degradation(summary(values), holm(rows), slopes, list(values)))


def test_the_holder_and_the_fastest_fall_are_named_with_their_numbers():
    text = said([("topk:4", "256", -0.1, 0.2), ("topk:4", "slope", -0.03, 0.2)])
    assert "Arm pad, nDCG@10 at L = 256: maxsim is highest, 0.5000 (0.4900–0.5100)" in text
    assert "maxsim retains most of its value at L = 32, 83%, topk:4 least, 67%" in text
    assert "topk:4 falls fastest, -0.0667 for each doubling" in text


def test_nothing_is_claimed_when_nothing_is_significant():
    text = said([("topk:4", "256", -0.1, 0.05), ("topk:4", "slope", -0.03, 0.2)])
    assert "No pool is told apart from maxsim: neither its slope nor its value there differs" in text
    assert "p ≥ 0.05" in text and "ignificantly" not in text and "degrades" not in text


@pytest.mark.parametrize(("difference", "word"), [(-0.03, "faster"), (0.03, "slower")])
def test_a_slope_that_differs_is_worded_by_its_sign(difference, word):
    text = said([("topk:4", "256", -0.1, 0.9), ("topk:4", "slope", difference, 0.0004)])
    assert f"topk:4 degrades {word} than maxsim ({difference:+.4f} for each doubling, Holm-corrected p < 0.001)" in text
    assert "At L = 256 no pool differs from maxsim (Holm-corrected p ≥ 0.90)" in text


def test_pools_that_differ_are_told_from_those_that_do_not():
    values, slopes = VALUES | {"mean": (0.2, 0.1)}, SLOPES | {"mean": -0.01}
    rows = [("topk:4", "256", 0.1, 0.01), ("mean", "256", -0.4, 0.001), ("topk:4", "slope", -0.03, 0.01),
            ("mean", "slope", 0.0, 0.7)]  # fmt: skip
    text = said(rows, values, slopes)
    assert "topk:4 degrades faster" in text and "; mean is not told apart from it" in text
    assert "Significantly higher than maxsim: topk:4 (+0.1000, p = 0.01)" in text
    assert "significantly lower than maxsim: mean (-0.4000, p = 0.001), Holm-corrected, at L = 256" in text


def test_a_rise_is_no_fall_and_level_pools_are_level():
    text = said([("topk:4", "256", 0.0, np.nan)], {"maxsim": (0.5, 0.6), "topk:4": (0.5, 0.6)},
                {"maxsim": 0.03, "topk:4": 0.02})  # fmt: skip
    assert "maxsim and topk:4 are level at 0.6000; every pool retains 120%" in text
    assert "No pool falls; topk:4 gains least, +0.0200" in text and "No difference from maxsim could be tested" in text


def test_one_pool_is_compared_with_nothing():
    text = said([], {"maxsim": (0.6, 0.5)}, {"maxsim": -0.03})
    assert "maxsim reaches 0.5000" in text and "83% of its value at L = 32 is left" in text and "than" not in text


@pytest.mark.parametrize(
    ("found", "words"),
    [({"source": "faiss", "depth": 100, "recall": 0.93}, "cannot exceed a recall of 0.930; 7.0% is lost"),
     ({"source": "faiss", "depth": 100, "recall": 1.0}, "hold every relevant document"),
     ({"source": "exact", "depth": 5183, "recall": 1.0}, "all 5,183 documents are scored")],
)  # fmt: skip
def test_the_candidate_ceiling_is_said(found, words):
    assert words in findings.ceiling(found)[0]


def attacked(shares: dict[str, float], width: float = 0.05) -> pd.DataFrame:
    rows = [{"inject": "hard", "measure": "R@10", "pool": pool, "count": count, "retained": 1.0 if count == 0 else kept,
             "retained_low": kept - width, "retained_high": kept + width, "hijack_rate": 0.1 if count else 0.0}
            for pool, kept in shares.items() for count in (0, 100)]  # fmt: skip
    return pd.DataFrame(rows)


def losses(p: float, difference: float = -0.2) -> pd.DataFrame:
    return pd.DataFrame({"pool": ["topk:4"], "count": [100], "mean_difference": [difference], "p_holm": [p]})


def test_an_attack_names_who_keeps_most_and_the_sign_of_a_loss():
    shares = {"maxsim": 0.6, "topk:4": 0.3}
    text = " ".join(findings.attack(attacked(shares), losses(0.001), list(shares)))
    assert (
        "maxsim keeps 60% (55–65%) of its value without injection, the most; topk:4 keeps 30% (25–35%), the least"
        in text
    )
    assert "Significantly larger losses than maxsim: topk:4 (-0.2000, p = 0.001)" in text
    text = " ".join(findings.attack(attacked(shares), losses(0.4), list(shares)))
    assert "At K = 100 no pool differs from maxsim (Holm-corrected p ≥ 0.40)" in text and "ignificantly" not in text


def test_a_gain_is_said_only_where_its_interval_says_so():
    both = {"maxsim": 1.2, "topk:4": 1.02}
    text = " ".join(findings.attack(attacked(both), losses(0.9), list(both)))
    assert "maxsim gains: only documents that are not relevant are injected into" in text and "topk:4 gains" not in text


def test_nothing_injected_and_nothing_left_are_said():
    clean = attacked({"maxsim": 1.0}).query("count == 0")
    assert findings.attack(clean, losses(1.0), ["maxsim"]) == ["Nothing was injected: every count is 0."]
    lost = attacked({"maxsim": np.nan})
    assert "0 with and without" in findings.attack(lost, losses(1.0), ["maxsim"])[0]


@pytest.mark.parametrize(
    ("p", "words"),
    [([0.001, 0.02], "Every two pools differ"), ([0.5, 0.06], "No two pools differ"),
     ([0.001, 0.5], "All pools differ but softmax:1.0 and maxsim")],
)  # fmt: skip
def test_concentration_is_judged_by_its_tests(p, words):
    rows = pd.DataFrame({"pool": ["maxsim", "topk:4", "softmax:1.0"], "length": 64, "gini": [0.9, 0.5, 0.1],
                         "gini_low": [0.8, 0.4, 0.0], "gini_high": [1.0, 0.6, 0.2], "n_pairs": 9})  # fmt: skip
    judged = pd.DataFrame({"length": 64, "pool": ["topk:4", "softmax:1.0"], "baseline": "maxsim", "p_holm": p})
    text = " ".join(findings.concentration(rows, judged))
    assert "maxsim concentrates its gradient most, Gini 0.9000" in text and words in text


def test_a_comparison_counts_what_differs():
    cells = pd.DataFrame({"run": "b", "measure": "R@1", "arm": "pad", "length": ["8", "16", "slope"], "pool": "maxsim",
                          "mean_difference": [0.1, -0.2, 0.5], "p_holm": [0.01, 0.02, 0.001]})  # fmt: skip
    [text] = findings.compared(cells, "a")
    assert "ahead of a in 1 of 2 cells, behind in 1" in text and "-0.2000 (R@1, pad, maxsim, L = 16)" in text
    [text] = findings.compared(cells.assign(p_holm=0.3), "a")
    assert text == "b does not differ from a in any of 2 cells (Holm-corrected p ≥ 0.30)."
