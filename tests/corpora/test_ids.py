"""Ids that a query and a document share: a document is left out only where it is the query."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness import corpora
from harness.candidates import find
from harness.errors import DataError
from harness.records import Document, Query
from tests.candidates.test_candidates import search
from tests.conftest import multivectors
from tests.corpora.test_corpora import beir

BODIES = ["rye bread", "tide tables", "night trains", "honey bees"]


def embeddings(folder: Path, documents: dict[str, list[float]], queries: dict[str, list[float]]) -> Path:
    """One vector an item."""
    folder.mkdir(parents=True)
    for name, held in (("documents", documents), ("queries", queries)):
        vectors = np.array(list(held.values()), np.float32)
        np.savez(folder / f"{name}.npz", vectors=vectors, counts=np.ones(len(held), np.int64), ids=np.array(list(held)))
    return folder


def figures(folder: Path, vectors: Path, measures: str) -> dict[str, float]:
    """The mean of each measure over the queries, under MaxSim with every document a candidate."""
    found = harness.evaluate(
        dataset=str(folder),
        checkpoint=f"embeddings:{vectors}",
        pool="maxsim",
        candidates="exact",
        arms="truncate",
        lengths=[4],
        measures=measures,
        output=folder.parent / "runs",
    )
    return dict(zip(found.summary["measure"], found.summary["value"].round(4), strict=True))


ITEM = st.tuples(st.sampled_from("1234"), st.sampled_from(["", "Notes"]), st.sampled_from(BODIES))
ASKED = st.tuples(st.sampled_from("1234"), st.sampled_from(["", "Notes "]), st.sampled_from(BODIES), st.booleans())


@settings(max_examples=60)
@given(
    documents=st.lists(ITEM, min_size=1, max_size=4, unique_by=lambda item: item[0]),
    queries=st.lists(ASKED, min_size=1, max_size=4, unique_by=lambda item: item[0]),
    named=st.booleans(),
    data=st.data(),
)
def test_a_document_is_excluded_where_it_is_the_query_and_its_judgments_alone_are_dropped(
    documents, queries, named, data
):
    pairs = [(query[0], document[0]) for query in queries for document in documents]
    judged = data.draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    asked = {name: f"{title}{body}".replace(" ", "  \n" if spaced else " ") for name, title, body, spaced in queries}
    held = {name: (title, body) for name, title, body in documents}
    same = {
        name
        for name, text in asked.items()
        if name in held and (named or " ".join(text.split()) in (held[name][1], " ".join(held[name]).strip()))
    }
    kept = sorted((query, document) for query, document in judged if query != document or query not in same)
    with tempfile.TemporaryDirectory() as work:
        folder = beir(
            Path(work) / "toy",
            [{"_id": name, "title": title, "text": body} for name, (title, body) in held.items()],
            [{"_id": name, "text": text} for name, text in asked.items()],
            "".join(f"{query}\t{document}\t1\n" for query, document in judged),
        )
        (Path(work) / "toy.yaml").write_text(f"source: beir\nsame_ids_are_same: {str(named).lower()}\n")
        if not kept:
            with pytest.raises(DataError, match="no query has a relevant document"):
                corpora.load(str(folder))
            return
        dataset = corpora.load(str(folder))
    assert [(qrel.query_id, qrel.doc_id) for qrel in dataset.qrels] == kept
    assert {query: list(held) for query, held in dataset.relevant.items()} == {
        query.id: [document for one, document in kept if one == query.id] for query in dataset.queries
    }
    assert dataset.excluded == {query.id: {query.id} for query in dataset.queries if query.id in same}
    coincide = [query.id for query in dataset.queries if query.id in held and query.id not in same]
    said = [note for note in dataset.notes if "which stay candidates" in note]
    assert [note.split()[0] for note in said] == ([str(len(coincide))] if coincide else [])


def test_candidates_leave_out_what_the_dataset_excludes_and_nothing_else(tmp_path):
    documents, queries = multivectors([2, 3, 1]), multivectors([1, 1, 1], prefix="d", seed=4)
    question = search(documents, queries, tmp_path)
    assert (find("exact", question).rows == [0, 1, 2]).all()  # the same ids, but nothing excluded
    excluded = {"d0": frozenset(["d0", "d2", "unknown"]), "d2": frozenset(["d1"]), "other": frozenset(["d0"])}
    object.__setattr__(question.dataset, "excluded", excluded)
    assert find("exact", question).rows.tolist() == [[1, -1, -1], [0, 1, 2], [0, 2, -1]]


def test_queries_and_documents_that_are_numbered_alike_keep_all_their_judgments(tmp_path):
    documents = [{"_id": str(at), "text": f"text of {at}"} for at in range(1, 7)]
    queries = [{"_id": str(at), "text": f"question {at}"} for at in range(1, 4)]
    folder = beir(tmp_path / "numbers", documents, queries, "1\t1\t1\n2\t5\t1\n3\t6\t1\n")
    vectors = embeddings(
        tmp_path / "vectors",
        {"1": [1, 0, 0], "2": [0, 0.9, 0], "3": [0, 0.8, 0.8], "4": [0, 0, 0], "5": [0, 0.7, 0], "6": [0, 0, 0.7]},
        {"1": [1, 0, 0], "2": [0, 1, 0], "3": [0, 0, 1]},
    )  # ranks of the relevant documents: 1, 3, 2
    assert figures(folder, vectors, "nDCG@10") == {"nDCG@10": round((1 + 1 / 2 + 1 / np.log2(3)) / 3, 4)}
    (tmp_path / "numbers.yaml").write_text("source: beir\nsame_ids_are_same: true\n")
    assert corpora.load(str(folder)).excluded == {"2": {"2"}, "3": {"3"}}  # query 1 lost its judgment


def test_arguments_that_are_documents_are_not_their_own_answer(tmp_path):
    documents = [{"_id": name, "title": "Bread", "text": f"text of {name}"} for name in ("a-pro", "a-con", "b-pro")]
    queries = [{"_id": "a-pro", "text": "text  of a-pro "}]
    folder = beir(tmp_path / "arguments", documents, queries, "a-pro\ta-con\t1\n")
    own, near, far = [1.0, 0.0], [0.8, 0.1], [0.0, 1.0]
    vectors = embeddings(tmp_path / "v", {"a-pro": own, "a-con": near, "b-pro": far}, {"a-pro": own})
    assert figures(folder, vectors, "nDCG@10,R@1") == {"nDCG@10": 1.0, "R@1": 1.0}


def test_the_cards_of_collections_whose_queries_are_documents_say_so():
    cards = corpora.datasets()
    named = ["arguana", "nanobeir-arguana", "nanobeir-quora", "nanobeir-scidocs", "quora", "scidocs"]
    assert sorted(name for name in cards if cards[name].same_ids_are_same) == named


def test_the_card_beside_a_folder_is_read_and_must_be_sound(tmp_path):
    folder = beir(tmp_path / "toy")
    (tmp_path / "toy.yaml").write_text("source: beir\nquery_length: 7\n")
    assert corpora.check(str(folder)).query_length == 7
    (tmp_path / "toy.yaml").write_text("source: beir\nsame_ids_are_same: perhaps\n")
    with pytest.raises(DataError, match=r"toy\.yaml.*must be true or false, not 'perhaps'"):
        corpora.check(str(folder))


HEADERS = ["query-id\tcorpus-id\tscore", "query_id\tdoc_id\trelevance", "qid 0 docid rel", "QID\tPID\tLabel"]
HEADERS += ["query-id\titer\tcorpus-id\tscore", "topic iteration docno relevance"]


@pytest.mark.parametrize("header", HEADERS)
def test_a_line_of_a_headers_words_is_a_header(tmp_path, header):
    rows = [("q1", "d1", "1"), ("q3", "d2", "1")]
    four = len(header.split()) == 4
    lines = ["\t".join([query, *(["0"] if four else []), document, grade]) for query, document, grade in rows]
    dataset = corpora.load(str(beir(tmp_path / "toy", qrels="\n".join([header, *lines]))))
    assert [(qrel.query_id, qrel.doc_id) for qrel in dataset.qrels] == [("q1", "d1"), ("q3", "d2")]


@settings(max_examples=40)
@given(
    st.sampled_from(["q1", "score", "query-id", "", "0"]),
    st.sampled_from(["d1", "query", "qid", "", "1"]),
    st.sampled_from(["yes", "relevant?", "query-id", "one", "1.x", "d1", "nan", "1e999", "0x1", "1_0"]),
)
def test_a_first_line_that_is_wrong_is_named_and_not_taken_for_a_header(query, document, grade):
    with tempfile.TemporaryDirectory() as work:
        folder = beir(Path(work) / "toy", qrels=f"{query}\t{document}\t{grade}\nq1\td1\t1\nq3\td2\t1\n")
        with pytest.raises(DataError, match=r"test\.tsv:1: "):
            corpora.load(str(folder))


def test_a_document_knows_which_part_of_its_text_is_the_title(tmp_path):
    found = corpora.load(str(beir(tmp_path / "toy"))).documents
    assert [(one.text, one.title) for one in found[:2]] == [("Cats purr at night", "Cats"), ("dogs bark", "")]
    assert found[0] == Document("d1", "Cats purr at night", title="Cats") and Query("a", "b") == Query("a", "b")
