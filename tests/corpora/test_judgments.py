"""Judgments that need a decision: repeated, contradicting, of the query's own document, beyond any grade."""

from __future__ import annotations

import pytest

from harness.corpora import load
from harness.errors import DataError


def judged(folder, lines):
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "one"}\n{"_id": "b", "text": "two"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "a", "text": "one"}\n{"_id": "q", "text": "two?"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines))
    return str(folder)


def test_a_judgment_given_twice_counts_once_and_is_noted(tmp_path):
    dataset = load(judged(tmp_path / "d", ["q\tb\t1", "q\tb\t1"]))
    assert len(dataset.qrels) == 1 and any("given twice" in note for note in dataset.notes)


def test_a_judgment_of_the_querys_own_document_is_left_out(tmp_path):
    dataset = load(judged(tmp_path / "d", ["a\ta\t1", "a\tb\t1", "q\ta\t0"]))
    assert [(one.query_id, one.doc_id) for one in dataset.qrels] == [("a", "b")]
    assert sum("left out" in note for note in dataset.notes) == 2  # the own document, and the query without any


@pytest.mark.parametrize(
    "lines, words",
    [
        (["q\tb\t1", "q\tb\t2"], "different grades"),
        (["q\tb\t1", "q\ta\t99999999999"], "up to 127"),
    ],
)
def test_judgments_that_contradict_or_overflow_are_refused(tmp_path, lines, words):
    with pytest.raises(DataError, match=words):
        load(judged(tmp_path / "d", lines))


def test_a_first_judgment_with_a_fraction_is_no_header(tmp_path):
    folder = judged(tmp_path / "d", [])
    (tmp_path / "d" / "qrels" / "test.tsv").write_text("q\tb\t1.5\nq\ta\t1\n")
    with pytest.raises(DataError, match=r"test\.tsv:1"):
        load(folder)
