"""``harness inspect``: what is said of a dataset is what it holds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.cli import app
from harness.corpora.inspection import summary
from harness.errors import DataError
from harness.reports.sections.inspect import histogram
from tests.corpora import layouts
from tests.corpora.layouts import BREAD, Texts


@pytest.fixture
def folder(tmp_path):
    documents = [*BREAD.documents, ("same", "", BREAD.documents[2][2]), ("empty", "", " ")]
    layouts.beir(tmp_path / "toy", Texts(documents, BREAD.queries, [*BREAD.judged, ("q1", "d2", 0)]))
    return tmp_path / "toy"


def test_layout_counts_lengths_duplicates_notes_and_rows(folder):
    found = harness.inspect(str(folder))
    assert (found.layout, found.split, list(found.splits)) == ("beir", "test", ["test"])
    assert found.counts == {
        "documents": 5,
        "queries with a relevant document": 3,
        "judgments": 5,
        "relevant documents per query": 1.33,
    }
    assert found.grades == {0: 1, 1: 4} and found.duplicates == [["d3", "same"]]
    assert found.words["query"] == [4, 4, 6] and found.words["document"][0] == 10
    assert found.checkpoint == "minilm" and found.tokens["query"] == [6, 6, 8]  # and the two at the ends
    assert found.files["qrels"] == [str(folder / "qrels" / "test.tsv")] and "without text" in found.notes[0]
    assert found.rows["judgments"][0] == ("q1", "d1", "1")


def test_it_is_shown_and_written_as_json(folder):
    shown = CliRunner().invoke(app, ["inspect", str(folder), "--checkpoint", "none"]).stdout
    for words in (
        "layout beir, split test",
        "corpus.jsonl",
        "5 documents",
        "Documents of equal text: 2 in 1 groups",
        "Note: 1 document without text",
        "q1  how is bread stored",
    ):
        assert " ".join(words.split()) in " ".join(shown.split())
    record = json.loads(CliRunner().invoke(app, ["inspect", str(folder), "--format", "json"]).stdout)
    assert record["words"]["query"] == {"least": 4, "median": 4, "mean": 4.7, "90 %": 6, "most": 6}
    with pytest.raises(DataError, match="1 document without text"):
        harness.inspect(str(folder), strict=True)


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40))
def test_a_histogram_counts_every_length_once(counts):
    rows = histogram("Words", counts).rows
    assert sum(int(row.cells[0].text.replace(",", "")) for row in rows) == len(counts)
    for row in rows:
        low, _, high = row.name.replace(",", "").partition(" to ")
        inside = [count for count in counts if int(low) <= count <= int(high or low)]
        assert len(inside) == int(row.cells[0].text.replace(",", "")) and bool(inside) == bool(row.cells[1].text)
    assert summary(counts)["least"] == min(counts) and summary(counts)["most"] == max(counts)
