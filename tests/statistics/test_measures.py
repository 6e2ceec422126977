"""Measures depend on grades and ranks: not on what queries are called, on who computes them, or what else is asked."""

from __future__ import annotations

import ast
import itertools
import random

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, OptionError
from harness.records import Qrel, ScoredDoc
from harness.statistics import measures

ERR = [0.0625, 0.0625, 0.9375]
SHAPES = {
    "words": ["moon", "tide", "dock", "gull"],
    "dashes": ["q-1", "q-2", "x-1", "x-2"],
    "numbers": ["7", "10", "9", "1"],
    "one number": ["1", "01", "001", "1.0"],
    "floats": ["1.0", "1e3", "-0.5", "nan"],
    "unicode": ["é", "日本", "\U0001f600", "\u00a0"],
    "spaces": ["a b", "a  b", " a", "a\tb"],
    "separators": ["a,b", "a:b", "a/b", "%20"],
    "empty-looking": ["", " ", "0", "None"],
}


def accepted():
    """Every measure that ir_measures lists and the program accepts, in the ways it can be written."""
    found = {}
    for family, ways in itertools.product(
        ir_measures.measures.registry, ("{}", "{}@3", "{}@0.5", "{}(rel=2)@3", "{}(rel=2)", "{}(judged_only=True)@3")
    ):
        try:
            found[str(measures.parse(ways.format(family)))] = None
        except OptionError as error:
            assert len(error.problems) == 1
    return [*found, "nDCG(dcg='exp-log2')@3", "nDCG(gains={1:5})@3", "SetF(beta=2.0)", "Compat(p=0.5)", "IPrec@0.25"]


MEASURES = accepted()


def drawn(seed, queries, documents=12):
    """Random judgments and rankings with many ties; document i of all is the same whatever it is called."""
    choose = random.Random(seed)
    names = sorted(choose.sample(range(100, 999), documents))
    qrels = [Qrel(query, f"d{name}", choose.choice([-1, 0, 0, 1, 2, 4])) for query in queries for name in names[::2]]
    run = [
        ScoredDoc(query, f"d{name}", float(choose.randrange(-2, 3)))
        for query in queries
        for name in choose.sample(names, choose.randrange(1, documents))
    ]
    return qrels, run


def values(names, qrels, run, queries):
    table = measures.per_query(names, qrels, run).set_index(["query_id", "measure"])["value"]
    return [[table[query, name] for name in names] for query in queries]


def test_the_usual_measures_are_accepted():
    wanted = {
        "AP",
        "AP@3",
        "Bpref",
        "Compat",
        "ERR@3",
        "IPrec@0.5",
        "Judged@3",
        "nDCG@3",
        "NumRel",
        "NumRet",
        "P@3",
        "R@3",
        "Rprec",
        "RR",
        "RR@3",
        "SetAP",
        "SetF",
        "SetP",
        "SetR",
        "Success@3",
        "infAP",
    }
    assert wanted <= set(MEASURES)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_measure_sees_what_a_query_is_called(shape):
    qrels, run = drawn(3, plain := ["1", "2", "3", "4"])
    names = dict(zip(plain, SHAPES[shape], strict=True))
    called = [one._replace(query_id=names[one.query_id]) for one in qrels]
    ranked = [one._replace(query_id=names[one.query_id]) for one in run]
    expected = values(MEASURES, qrels, run, plain)
    assert values(MEASURES, called, ranked, SHAPES[shape]) == expected
    assert len({tuple(row) for row in expected}) == 4  # the four queries can be told apart


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), order=st.randoms(use_true_random=False))
def test_no_measure_sees_the_order_of_lines_or_the_other_measures(seed, order):
    queries = ["q-1", "q-2", "moon"]
    qrels, run = drawn(seed, queries)
    whole = values(MEASURES, qrels, run, queries)
    for lines in (qrels, run):
        order.shuffle(lines)
    assert values(MEASURES, qrels, run, queries) == whole
    at = order.randrange(len(MEASURES))
    assert values([MEASURES[at]], qrels, run, queries) == [[row[at]] for row in whole]


TREC = ["AP", "AP@3", "Bpref", "P@3", "R@3", "RR", "Rprec", "SetF", "Success@1", "infAP", "nDCG", "nDCG@3"]


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_ties_are_broken_as_trec_eval_breaks_them_by_every_provider(seed):
    qrels, run = drawn(seed, ["1", "2"])
    parsed = {measures.parse(name): name for name in TREC}
    direct = {
        (one.query_id, parsed[one.measure]): one.value
        for one in ir_measures.pytrec_eval.iter_calc(list(parsed), qrels, run)
    }
    for row in measures.per_query([*TREC, "RR@12"], qrels, run).itertuples():
        name = "RR" if row.measure == "RR@12" else row.measure  # which MS MARCO's script computes
        assert row.value == direct[row.query_id, name]


@pytest.mark.parametrize("score", [1.0, 1.0 + 1e-9])
def test_scores_that_are_equal_as_float32_are_equal(score):
    """trec_eval holds a score as float32."""
    run = [ScoredDoc("q", "b", 1.0), ScoredDoc("q", "a", score)]
    for qrels in ([Qrel("q", "b", 1)], [Qrel("q", "a", 1)]):
        direct = [one.value for one in ir_measures.pytrec_eval.iter_calc([ir_measures.RR], qrels, run)]
        assert measures.per_query(["RR", "RR@5"], qrels, run)["value"].tolist() == direct * 2


@pytest.mark.parametrize("ids", [["moon", "tide", "dock"], ["q-1", "q-2", "q-3"], ["1", "2", "3"]])
def test_err_is_that_of_gdeval_for_queries_of_any_name(ids):
    """ERR of one document of grade g at the first place is (2^g − 1) / 16."""
    qrels = [Qrel(name, "d 1", grade) for name, grade in zip(ids, (1, 1, 4), strict=True)]
    table = measures.per_query(["ERR@10"], qrels, [ScoredDoc(name, "d 1", 0.5) for name in ids])
    assert dict(zip(table["query_id"], table["value"], strict=True)) == dict(zip(ids, ERR, strict=True))


def test_a_grade_that_a_provider_cannot_take_is_one_line_naming_both(capfd):
    qrels = [Qrel("q", "a", 5), Qrel("q", "b", 1)]
    for names in (["ERR@10"], ["nDCG@10", "ERR@10"], ["nDCG(dcg='exp-log2')@5"]):
        with pytest.raises(DataError) as caught:
            measures.check(names, qrels)
        [line] = caught.value.problems
        assert f"measure {names[-1]}" in line and "up to 4" in line and "up to 5" in line
    measures.check(["nDCG@10", "P(rel=5)@1"], qrels)
    assert capfd.readouterr() == ("", "")


def test_what_a_provider_raises_is_a_line_that_names_the_measure(monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("float division by zero")

    measures.parse("P@5")
    monkeypatch.setattr(ir_measures, "iter_calc", fails)
    with pytest.raises(DataError, match=r"measure P@5: .* grades from 0 to 3 \(float division by zero\)"):
        measures.per_query(["P@5"], [Qrel("q", "a", 3), Qrel("q", "b", 0)], [])


def test_a_measure_that_fails_where_all_that_is_found_is_relevant_is_refused_before_anything_is_scored():
    with pytest.raises(OptionError, match=r"'Accuracy@10': accuracy fails on some rankings"):
        measures.parse("Accuracy@10")


def test_two_names_of_one_measure_have_the_same_values():
    qrels, run = drawn(1, ["q"])
    (row,) = values(["NDCG@3", "nDCG@3", "MAP", "AP"], qrels, run, ["q"])
    assert row[0] == row[1] and row[2] == row[3] and 0 not in row


def test_a_query_without_documents_counts_0():
    table = measures.per_query(["P@1", "ERR@1", "Judged@1"], [Qrel("q", "a", 1)], [ScoredDoc("other", "a", 1.0)])
    assert table["value"].tolist() == [0.0] * 3 and set(table["query_id"]) == {"q"}


WRITTEN = [
    "nDCG@10",
    "AP",
    "P(rel=2)@5",
    "AP(rel=2)",
    "nDCG(dcg='exp-log2')@10",
    'nDCG(dcg="log2")@3',
    "IPrec@0.1",
    "SetF(beta=0.5)",
    "P(judged_only=True)@5",
    "nDCG(gains={0:1,1:2})@10",
    "Compat(p=0.8,normalize=False)",
    "P(cutoff=5)",
    " RR@10 ",
]


@pytest.mark.parametrize("name", WRITTEN)
def test_names_are_read_as_ir_measures_reads_them(name, monkeypatch):
    expected = ir_measures.parse_measure(name.strip())
    for gone in ("Num", "Str", "NameConstant", "Bytes", "Ellipsis"):  # as in Python 3.14
        monkeypatch.delattr(ast, gone, raising=False)
    measures._accepted.cache_clear()
    assert measures.parse(name) == expected and measures.parse(str(expected)) == expected


WRONG = {
    "ndcg@10": "did you mean 'nDCG@10'",
    "P": "lacks a whole-number cutoff; write it as P@10",
    "P@0": "whole number from 1 on; write it as P@10",
    "P@1.5": "write it as P@10",
    "P@True": "whole number",
    "Rprec@10": "write it as Rprec",
    "IPrec@0.101": "two decimals",
    "nDCG(10)": "write it as nDCG@10",
    "nDCG(width=3)@10": "width",
    "BPM@10": "(max_rel is missing); try one of",
    "RR(judged_only=True)@10": "no provider installed; write it as RR@10",
    "P@10; P@5": "write it as P@10",
    "": "unknown measure",
    "__import__('os')": "unknown measure",
    "(" * 500: "unknown measure",
    "P@" + "9" * 30: "write it as P@10",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_measure_is_one_line_with_a_next_step_that_works(name):
    with pytest.raises(OptionError) as caught:
        measures.parse(name)
    [line] = caught.value.problems
    assert WRONG[name] in line
    if "write it as " in line:
        measures.parse(line.rpartition("write it as ")[2])
