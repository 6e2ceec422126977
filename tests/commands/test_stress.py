"""``harness stress`` and ``harness gradients`` end to end on the tiny corpus."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

import harness
from harness import cli, corpora
from harness.errors import OptionError
from harness.runs import RunDirectory
from harness.statistics import measures
from tests.conftest import TINY

QUESTION = {"dataset": str(TINY), "pool": "maxsim,topk:4,softmax:1.0", "counts": [5, 40], "depth": 20}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return harness.stress(**QUESTION, output=tmp_path_factory.mktemp("runs"), explain="q-moon")


def test_the_summary_has_the_documented_columns_and_a_clean_row(done):
    columns = "dataset,checkpoint,inject,count,pool,measure,value,ci_low,ci_high,n_queries,retained,hijack_rate"
    assert list(done.summary.columns)[:12] == columns.split(",")
    assert set(done.summary["count"]) == {0, 5, 40}
    clean = done.summary[done.summary["count"] == 0]
    assert (clean["retained"] == 1).all() and (clean["hijack_rate"] == 0).all()
    assert clean.groupby(["pool", "measure"])["value"].nunique().eq(1).all()  # the same under every kind


def test_the_attack_hurts_and_the_control_does_not(done):
    rows = done.summary.set_index(["inject", "count", "pool", "measure"])
    assert rows.loc[("hard", 40, "maxsim", "R@1"), "hijack_rate"] > 0.5
    assert rows.loc[("hard", 40, "maxsim", "R@1"), "retained"] < 0.8
    assert rows.loc[("gaussian", 40, "maxsim", "R@1"), "hijack_rate"] < 0.15
    assert rows.loc[("gaussian", 40, "maxsim", "R@1"), "retained"] > 0.95


def test_summary_and_rankings_agree(done):
    run, qrels = RunDirectory(done.path), corpora.load(str(TINY)).qrels
    for row in done.summary.itertuples():
        path = done.path / "rankings" / row.inject / row.pool / f"K{row.count}.trec.gz"
        table = measures.per_query([row.measure], qrels, run.read_ranking(path))
        assert table["value"].mean() == pytest.approx(row.value, abs=1e-6)


def test_retained_is_a_ratio_of_means_inside_its_interval(done):
    base = done.summary[done.summary["count"] == 0].set_index(["inject", "pool", "measure"])["value"]
    for row in done.summary.itertuples():
        assert row.retained == pytest.approx(row.value / base[row.inject, row.pool, row.measure])
        assert row.retained_low - 1e-9 <= row.retained <= row.retained_high + 1e-9


def test_losses_are_compared_with_the_first_pool(done):
    from scipy import stats

    values = done.per_query.pivot_table(
        index=["inject", "pool", "count", "measure"], columns="query_id", values="value"
    )
    assert len(done.tests) == 2 * 2 * 3 * 3  # pools, counts, kinds, measures
    for row in done.tests[done.tests["p"] < 1].itertuples():
        cells = [(row.inject, row.pool, row.measure), (row.inject, "maxsim", row.measure)]
        own, base = (
            values.loc[(kind, pool, 0, measure)] - values.loc[(kind, pool, row.count, measure)]
            for kind, pool, measure in cells
        )
        a, b = base, own  # the smaller loss is better
        assert (row.wins, row.losses) == ((own < base).sum(), (own > base).sum())
        assert row.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-6)
        assert row.mean_difference == pytest.approx((a - b).mean())


def test_every_relevant_document_takes_part_and_the_output_says_so(tmp_path):
    got = harness.stress(**{**QUESTION, "depth": 1, "measures": "R@1", "inject": "hard"}, output=tmp_path)
    assert any("outside the candidates were added" in note for note in got.manifest.notes)
    run = RunDirectory(got.path)
    shown = {one.doc_id for one in run.read_ranking(got.path / "rankings" / "hard" / "maxsim" / "K0.trec.gz")}
    assert shown  # a ranking of depth 1 still has a document for every query
    assert (got.summary[got.summary["count"] == 0]["value"] > 0.5).all()


def test_the_token_level_view_is_what_the_vectors_say(done):
    table = done.explained
    assert set(table["inject"]) == {"hard", "spike", "gaussian"} and set(table["query_id"]) == {"q-moon"}
    assert table["token"].iloc[0] == "[CLS]"
    taken = table["after_source"] == "injected"
    assert (table.loc[taken, "after_similarity"] > table.loc[taken, "before_similarity"]).all()
    assert (table.loc[~taken, "after_similarity"] == table.loc[~taken, "before_similarity"]).all()
    assert taken[table["inject"] == "hard"].mean() > taken[table["inject"] == "gaussian"].mean()
    picture = (done.path / "explain-q-moon.svg").read_text()
    assert picture.startswith("<svg") and "[CLS]" in picture
    relevant = {qrel.doc_id for qrel in corpora.load(str(TINY)).qrels if qrel.query_id == "q-moon" and qrel.relevance}
    assert table["doc_id"].iloc[0] not in relevant


def test_an_unknown_query_is_refused_before_anything_is_scored(tmp_path):
    with pytest.raises(OptionError, match="did you mean 'q-moon'"):
        harness.stress(**QUESTION, output=tmp_path, explain="q-mon")
    assert not list(tmp_path.iterdir())


def test_the_same_stress_gives_the_same_bytes_and_resume_shows_it(done, tmp_path, monkeypatch):
    again = harness.stress(**QUESTION, output=tmp_path)
    assert (again.path / "summary.csv").read_bytes() == (done.path / "summary.csv").read_bytes()
    from harness.commands import stress

    monkeypatch.setattr(stress, "attack", None)
    shown = harness.stress(**QUESTION, output=tmp_path, resume=True)
    pd.testing.assert_frame_equal(shown.summary, done.summary, check_dtype=False)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    options = {"pool": "maxsim,topk:5,softmax:1.0", "lengths": [16, 32], "pairs": 20}
    return harness.gradients(dataset=str(TINY), **options, output=tmp_path_factory.mktemp("runs"))


def test_gradients_have_the_documented_columns_and_order_the_pools(routed):
    columns = "dataset,checkpoint,pool,length,gini,gini_low,gini_high,top_share,effective_patches,n_pairs"
    assert list(routed.summary.columns)[:10] == columns.split(",")
    gini = routed.summary.set_index(["length", "pool"])["gini"]
    for length in (16, 32):
        assert gini[length, "maxsim"] > gini[length, "topk:5"] > gini[length, "softmax:1.0"]
    assert (routed.summary["n_pairs"] == 20).all() and (routed.tests["p_holm"] < 0.001).all()
    assert len(routed.tests) == 3 * 2


def test_gradient_intervals_hold_their_means_and_pairs_are_relevant(routed):
    assert (routed.summary["gini_low"] < routed.summary["gini"]).all()
    assert (routed.summary["gini"] < routed.summary["gini_high"]).all()
    relevant = {(qrel.query_id, qrel.doc_id) for qrel in corpora.load(str(TINY)).qrels if qrel.relevance > 0}
    pairs = set(zip(routed.per_query["query_id"], routed.per_query["doc_id"], strict=True))
    assert pairs <= relevant and len(pairs) == 20
    np.testing.assert_allclose(
        routed.per_query["gini_standard"] - routed.per_query["gini"], 1 / routed.per_query["length"]
    )


@pytest.mark.parametrize(
    "line, words",
    [
        ("stress --pool maxsim,topk:4 --counts 0,10 --inject hard --explain q-moon", "hijack rate|K = 10|won before"),
        ("gradients --pool maxsim,mean --lengths 16 --pairs 8", "8 pairs|Gini|effective|largest"),
    ],
)
def test_the_command_lines_print_their_tables(line, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["harness", *line.split(), "--dataset", str(TINY)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = capsys.readouterr().out
    assert end.value.code in (0, None) and max(map(len, out.splitlines())) <= 80
    assert all(word in " ".join(out.split()) for word in words.split("|"))


@pytest.mark.parametrize(
    "line, words",
    [
        ("stress --inject hrad", "did you mean 'hard'?"),
        ("stress --counts 0,-5", "count -5 must be at least 0"),
        ("stress --cosine 2", "cosine 2.0 must be between -1 and 1"),
        ("gradients --pairs 1", "pairs 1 must be at least 2"),
    ],
)
def test_bad_options_are_one_line(line, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["harness", *line.split(), "--dataset", str(TINY)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    [error] = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and words in error and not list(tmp_path.iterdir())
