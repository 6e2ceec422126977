"""The degradation table and its statistics equal loops, scipy and numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from harness.statistics import inference
from harness.statistics.tables import compare, reached, summarise

SUMMARY = "dataset,checkpoint,arm,pool,length,measure,value,ci_low,ci_high,n_queries,delta,retained"
TESTS = "measure,arm,length,statistic,pool,baseline,n,mean_difference,ci_low,ci_high,t,p,p_holm,wins,ties,losses"
ARMS, POOLS, MEASURES = ["truncate", "pad"], ["mean", "maxsim", "topk:4"], ["R@1", "AP"]
LENGTHS, QUERIES = [64, 8, 256], 15


def values(seed: int = 0) -> pd.DataFrame:
    """Random per-query values of every cell, the candidates' own ranking last; lengths in no order."""
    random = np.random.default_rng(seed)
    cells = [(arm, pool, length) for arm in ARMS for pool in POOLS for length in LENGTHS] + [
        ("candidates", "faiss", None)
    ]
    rows = [
        ("toy", "minilm", *cell, measure, f"q{query}", float(random.integers(0, 5) / 4))
        for cell in cells
        for measure in MEASURES
        for query in range(QUERIES)
    ]
    columns = ["dataset", "checkpoint", "arm", "pool", "length", "measure", "query_id", "value"]
    return pd.DataFrame(rows, columns=columns).astype({"length": "Int64"})


def mean_of(table: pd.DataFrame, arm: str, pool: str, length: int | None, measure: str) -> float:
    found = [
        row.value
        for row in table.itertuples()
        if (row.arm, row.pool, row.measure) == (arm, pool, measure)
        and (pd.isna(row.length) if length is None else row.length == length)
    ]
    return sum(found) / len(found)


def test_the_summary_is_every_cells_mean_and_its_change_against_the_shortest_length():
    table = values()
    summary = summarise(table, np.random.default_rng(0))
    assert ",".join(summary.columns) == SUMMARY
    assert len(summary) == len(MEASURES) * (len(ARMS) * len(POOLS) * len(LENGTHS) + 1)
    assert (summary["n_queries"] == QUERIES).all() and (summary["dataset"] == "toy").all()
    for row in summary[summary["arm"] != "candidates"].itertuples():
        value = mean_of(table, row.arm, row.pool, row.length, row.measure)
        base = mean_of(table, row.arm, row.pool, min(LENGTHS), row.measure)
        assert (row.value, row.delta, row.retained) == pytest.approx((value, value - base, value / base), abs=1e-12)
        assert row.ci_low < row.value < row.ci_high


def test_the_candidates_own_row_has_no_length_and_a_value():
    table = values()
    summary = summarise(table, np.random.default_rng(0))
    own = summary[summary["arm"] == "candidates"]
    assert sorted(own["measure"]) == sorted(MEASURES) and own["length"].isna().all()
    for row in own.itertuples():
        assert row.value == pytest.approx(mean_of(table, "candidates", "faiss", None, row.measure))
        assert row.ci_low < row.value < row.ci_high
    assert not summary[["value", "ci_low", "ci_high", "n_queries"]].isna().any().any()


def test_retained_is_undefined_where_nothing_is_there_to_retain():
    table = values()
    table.loc[(table["length"] == min(LENGTHS)).fillna(False) & (table["pool"] == "mean"), "value"] = 0.0
    summary = summarise(table, np.random.default_rng(0)).set_index("pool")
    assert summary.loc["mean", "retained"].isna().all() and not summary.loc["mean", "delta"].isna().any()
    assert not summary.loc["maxsim", "retained"].isna().any()


def test_the_summary_of_one_length_retains_all():
    table = values()
    summary = summarise(table[(table["length"] == 64).fillna(False)], np.random.default_rng(0))
    assert (summary["delta"] == 0).all() and (summary["retained"] == 1).all()


def test_every_pool_but_the_first_is_tested_at_every_length_and_on_the_slope():
    table = values()
    tests = compare(table, POOLS)
    assert ",".join(tests.columns) == TESTS and (tests["baseline"] == "mean").all() and (tests["n"] == QUERIES).all()
    assert tests["length"].dtype == "Int64" and tests.loc[tests["statistic"] == "slope", "length"].isna().all()
    places = [*((length, "value") for length in LENGTHS), (None, "slope")]
    wanted = {(m, arm, *place, pool) for m in MEASURES for arm in ARMS for place in places for pool in POOLS[1:]}
    keys = tests[["measure", "arm", "length", "statistic", "pool"]].astype({"length": object})
    assert set(keys.where(keys.notna(), None).itertuples(index=False, name=None)) == wanted
    assert len(tests) == len(wanted)


def test_the_tests_are_students_on_the_values_and_on_the_polyfit_slopes():
    table = values()
    lengths = sorted(LENGTHS)
    cells = {
        key: part.sort_values("query_id")["value"].to_numpy()
        for key, part in table.groupby(["measure", "arm", "pool", "length"])
    }
    for row in compare(table, POOLS).itertuples():
        a, b = ([cells[row.measure, row.arm, pool, length] for length in lengths] for pool in (row.pool, row.baseline))
        if row.statistic == "slope":
            a, b = (np.polyfit(np.log2(lengths), one, 1)[0] for one in (a, b))
        else:
            a, b = (one[lengths.index(int(row.length))] for one in (a, b))
        expected = ttest_rel(a, b)
        interval = expected.confidence_interval(0.95)
        got = (row.t, row.p, row.mean_difference, row.ci_low, row.ci_high)
        if row.wins + row.losses < inference.FEWEST:
            assert np.isnan([row.t, row.p, row.ci_low, row.ci_high, row.p_holm]).all()
            continue
        assert got == pytest.approx((*expected, (a - b).mean(), interval.low, interval.high), rel=1e-9, abs=1e-12)
        if row.statistic != "slope":
            assert (row.wins, row.ties, row.losses) == (sum(a > b), sum(a == b), sum(a < b))


def cells(sizes: list[int], lengths: list[int], filled: bool) -> list[dict]:
    """Of the manifest: the most patches that a document has at each length."""
    arm = "pad" if filled else "truncate"
    most = [length if filled else max(min(size, length) for size in sizes) for length in lengths]
    return [{"arm": arm, "length": length, "patches_max": count} for length, count in zip(lengths, most, strict=True)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.sets(st.integers(1, 50), min_size=1, max_size=6))
def test_a_slope_is_over_the_lengths_at_which_some_document_still_changes(sizes, lengths):
    lengths = sorted(lengths)
    found = reached([*cells(sizes, lengths, False), *cells(sizes, lengths, True)])
    assert found["pad"] == lengths
    kept = found["truncate"]
    assert kept == lengths[: len(kept)]
    for shorter, longer in itertools.pairwise(lengths):
        assert (longer in kept) == any(min(size, longer) > min(size, shorter) for size in sizes)


def test_lengths_that_no_document_reaches_change_no_slope():
    table = values()
    longest = table[(table["length"] == 256).fillna(False)].assign(length=1024)  # the same documents, whole
    wider = pd.concat([table, longest], ignore_index=True).astype({"length": "Int64"})

    def of_slope(tests: pd.DataFrame) -> pd.DataFrame:
        return tests[tests["statistic"] == "slope"].drop(columns="p_holm").reset_index(drop=True)

    short, wide = (compare(one, POOLS, {"truncate": [8, 64, 256]}) for one in (table, wider))
    arm = "arm == 'truncate'"
    pd.testing.assert_frame_equal(of_slope(wide.query(arm)), of_slope(short.query(arm)))
    assert not np.allclose(of_slope(compare(wider, POOLS))["mean_difference"], of_slope(short)["mean_difference"])
    none = compare(table, POOLS, {"truncate": [8], "pad": LENGTHS})
    assert set(none.query("statistic == 'slope'")["arm"]) == {"pad"}


def holm_loop(p: list[float]) -> list[float]:
    """No smaller p may end up larger: each takes the worst of p times the tests at least as large."""
    tested = [one for one in p if not math.isnan(one)]
    worst = [max(min(1, low * sum(x >= low for x in tested)) for low in tested if low <= one) for one in tested]
    adjusted = iter(worst)
    return [math.nan if math.isnan(one) else next(adjusted) for one in p]


def test_holm_runs_over_all_tests_of_a_measure():
    tests = compare(values(), POOLS)
    for _, part in tests.groupby("measure"):
        assert len(part) == 16 and part["p"].notna().sum() > 8
        assert part["p_holm"].tolist() == pytest.approx(holm_loop(part["p"].tolist()), rel=1e-12, nan_ok=True)


@given(st.lists(st.floats(0, 1) | st.just(math.nan) | st.sampled_from([0.01, 0.04]), max_size=9))
def test_holm_is_its_loop_and_ignores_what_was_not_tested(p):
    assert inference.holm(np.array(p)).tolist() == pytest.approx(holm_loop(p), rel=1e-12, nan_ok=True)


def test_a_pool_equal_to_the_baseline_is_not_tested():
    table = values()
    table = pd.concat([table[table["pool"] == "mean"].assign(pool=pool) for pool in POOLS[:2]])
    tests = compare(table, POOLS[:2])
    assert tests[["t", "p", "p_holm", "ci_low", "ci_high"]].isna().all().all()
    assert (tests["ties"] == QUERIES).all() and (tests["mean_difference"] == 0).all()


def test_one_pool_has_nothing_to_be_compared_with_and_one_length_no_slope():
    table = values()
    none = compare(table, ["mean"])
    assert none.empty and ",".join(none.columns) == TESTS
    one = compare(table[(table["length"] == 8).fillna(False)], POOLS)
    assert set(one["length"]) == {8} and len(one) == 8


@settings(deadline=None)
@example([(1, 0)] * 12)
@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=1, max_size=20))
def test_paired_is_scipys_test_or_undefined_where_the_difference_never_varies_or_few_queries_differ(pairs):
    a, b = np.array(pairs, float).T / 8
    got = inference.paired(a, b)
    assert (got.n, got.wins + got.ties + got.losses) == (len(pairs), len(pairs))
    assert got.mean_difference == pytest.approx((a - b).mean())
    if np.ptp(a - b) == 0 and a[0] != b[0] and len(pairs) >= inference.FEWEST:
        assert got.p == 2 ** (1 - len(pairs)) and np.isnan([got.t, got.ci_low, got.ci_high]).all()
    elif np.ptp(a - b) > 0 and sum(a != b) >= min(len(pairs), inference.FEWEST):
        expected = ttest_rel(a, b)
        assert (got.t, got.p) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-12)
    else:
        assert np.isnan([got.t, got.p, got.ci_low, got.ci_high]).all()


@settings(deadline=None)
@given(st.sets(st.integers(1, 4096), min_size=2, max_size=6), st.integers(0, 99))
def test_slopes_are_polyfits(lengths, seed):
    cells = np.random.default_rng(seed).random((len(lengths), 5))
    expected = np.polyfit(np.log2(sorted(lengths)), cells, 1)[0]
    np.testing.assert_allclose(inference.slopes(cells, np.array(sorted(lengths))), expected, rtol=1e-6, atol=1e-9)


def sample(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.5, 0.2, shape)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    low, high = inference.bootstrap(sample(400, 100), np.random.default_rng(1))
    assert 0.91 < ((low < 0.5) & (high > 0.5)).mean() < 0.98
    low, high = inference.bootstrap(sample(400, 100), np.random.default_rng(1), level=0.5)
    assert 0.42 < ((low < 0.5) & (high > 0.5)).mean() < 0.57


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_interval_holds_the_samples_mean(one):
    low, high = inference.bootstrap(np.array(one), np.random.default_rng(0))
    assert low.shape == high.shape == () and low - 1e-12 <= np.mean(one) <= high + 1e-12


def test_the_interval_is_the_normal_one_for_many_queries_and_tightens_with_them():
    widths = []
    for n in (100, 400):
        one = sample(n)
        low, high = inference.bootstrap(one, np.random.default_rng(0))
        widths.append(high - low)
        assert widths[-1] == pytest.approx(2 * 1.96 * one.std() / math.sqrt(n), rel=0.05)
    assert 0.4 < widths[1] / widths[0] < 0.6


def test_the_interval_is_the_generators_and_a_cells_own():
    cells = sample(2, 3, 40)
    low, high = inference.bootstrap(cells, np.random.default_rng(5))
    assert low.shape == high.shape == (2, 3)
    again = inference.bootstrap(cells, np.random.default_rng(5))
    assert np.array_equal(again[0], low) and np.array_equal(again[1], high)
    assert not np.array_equal(inference.bootstrap(cells, np.random.default_rng(6))[0], low)
    np.testing.assert_allclose(inference.bootstrap(cells[1, 2], np.random.default_rng(5))[0], low[1, 2], rtol=1e-12)


def test_the_interval_of_equal_values_is_a_point():
    low, high = inference.bootstrap(np.full((2, 25), 0.3), np.random.default_rng(0))
    np.testing.assert_allclose([low, high], 0.3, rtol=1e-12)


def test_queries_without_a_value_are_left_out_and_are_no_evidence():
    random = np.random.default_rng(0)
    a, b = random.random((2, 20))
    holes = a.copy()
    holes[[3, 7]] = np.nan
    got, wanted = inference.paired(holes, b), inference.paired(np.delete(a, [3, 7]), np.delete(b, [3, 7]))
    assert got == wanted and got.n == 18 and got.p > 0.001
    none = inference.paired(np.full(20, np.nan), b)
    assert (none.n, none.wins, none.ties, none.losses) == (0, 0, 0, 0) and np.isnan(
        [none.p, none.mean_difference]
    ).all()
