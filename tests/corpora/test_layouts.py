"""Layouts: one collection, written in each of them and untidily, reads back equal, and says what was untidy."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
import tempfile
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness import corpora
from harness.errors import DataError, HarnessError, OptionError
from tests.corpora import layouts
from tests.corpora.layouts import BREAD, LAYOUT, NESTED, PLAIN, Texts

EVERY = PLAIN | NESTED
WIDTH = 160 - len("Note: .")  # of two lines of a terminal


def place(row) -> tuple[int, str]:
    """Where an item stands: by its id, shorter ones first."""
    return len(row[0]), row[0]


def equal(dataset, texts: Texts) -> None:
    whole = sorted(((name, f"{title} {text}".strip()) for name, title, text in texts.documents), key=place)
    assert [(one.id, one.text) for one in dataset.documents] == whole
    assert [(one.id, one.text) for one in dataset.queries] == sorted(texts.queries, key=place)
    assert sorted((one.query_id, one.doc_id, one.relevance) for one in dataset.qrels) == sorted(texts.judged)
    assert all(len(note) <= WIDTH for note in dataset.notes)


@pytest.mark.parametrize("name", EVERY)
def test_a_collection_reads_back_equal_from_every_layout(tmp_path, name):
    EVERY[name](tmp_path / "bread", BREAD)
    layouts.beir(tmp_path / "plain", BREAD)
    split = "Bread" if name == "a_split_a_dataset" else None
    assert corpora.check(str(tmp_path / "bread")).source == LAYOUT[name]
    found = corpora.load(str(tmp_path / "bread"), split)
    equal(found, BREAD)
    if found.excluded:  # BRIGHT's, which say N/A where there is none
        assert set(found.excluded.values()) == {frozenset(["N/A"])}
    else:
        assert found.fingerprint == corpora.load(str(tmp_path / "plain")).fingerprint


WORD = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)
WORDS = st.lists(WORD, min_size=1, max_size=5).map(" ".join)
IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='#"'), min_size=1, max_size=8
)


@st.composite
def collections(draw) -> Texts:
    """Texts of any script, ids of any kind; every query has a judged document."""
    names = draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    asked = draw(st.lists(IDS.map(lambda one: f"{one}?"), min_size=1, max_size=3, unique=True))
    documents = [(name, draw(WORDS | st.just("")), draw(WORDS)) for name in names]
    judged = {(query, draw(st.sampled_from(names)), 1) for query in asked}
    return Texts(documents, [(name, draw(WORDS)) for name in asked], sorted(judged))


@given(collections(), st.sampled_from(sorted(EVERY)))
def test_any_collection_reads_back_equal_from_any_layout(texts, name):
    if LAYOUT[name] == "trec":  # where marks mean something
        clean = {ord(mark): "x" for mark in "<>&\"'"}
        texts = Texts(
            *[
                [tuple(one.translate(clean) if isinstance(one, str) else one for one in row) for row in rows]
                for rows in dataclasses.astuple(texts)
            ]
        )
        if any(len({row[0] for row in rows}) < len(rows) for rows in (texts.documents, texts.queries)):
            return
    with tempfile.TemporaryDirectory() as work:
        EVERY[name](Path(work) / "bread", texts)
        split = "Bread" if name == "a_split_a_dataset" else None
        equal(corpora.load(str(Path(work) / "bread"), split), texts)


UNTIDY = [
    "whole-number ids",
    "empty document",
    "document twice",
    "query twice",
    "judgment twice",
    "lost document",
    "lost query",
    "comment",
    "without grades",
    "grades with .0",
    "trailing tab",
    "four columns",
    "marked",
    "carriage returns",
    "null text",
    "number as title",
    "spaces in ids",
]


@given(st.sets(st.sampled_from(UNTIDY)), st.integers(0, 99))
def test_what_is_untidy_is_read_and_said_and_strict_refuses_it(untidy, seed):
    """Every kind of untidiness by itself and with any other: the collection is the same, or what is said of it is."""
    rows = random.Random(seed)
    name = {
        f"d{at}": (at if "whole-number ids" in untidy else f"d {at}" if "spaces in ids" in untidy else f"d{at}")
        for at in range(1, 5)
    }
    documents = [{"_id": name[one], "title": title, "text": text} for one, title, text in BREAD.documents]
    queries = [{"_id": one, "text": text} for one, text in BREAD.queries]
    judged = [(query, str(name[document]), grade) for query, document, grade in BREAD.judged]
    kept = list(judged)
    wanted = {"whole-number ids": "ids that are whole numbers", "spaces in ids": "percent-encoded in TREC files"}
    said = [
        wanted[one]
        for one in untidy
        if one in wanted and not (one != "whole-number ids" and len({*wanted} & untidy) > 1)
    ]
    if "empty document" in untidy:
        documents.append({"_id": "empty", "text": " \n"})
        kept.append(("q1", "empty", 1))
        said.append("'empty'")
    if "null text" in untidy:
        documents.append({"_id": "null", "text": None})
        said += ["1 document whose text is null", f"{1 + ('empty document' in untidy)} document"]
    if "document twice" in untidy:
        documents.append(documents[1])
        said.append("1 document given twice")
    if "query twice" in untidy:
        queries.append(queries[0])
        said.append("1 query given twice")
    if "number as title" in untidy:
        documents[0] = {**documents[0], "title": 1984}
        said.append("1 number in the place")
    if "lost document" in untidy:
        kept.append(("q2", "lost", 1))
        said.append("not in the collection ('lost'): counted as misses")
    asked = list(kept)
    if "lost query" in untidy:
        asked.append(("q9", str(name["d1"]), 1))
        said.append("1 of 4 judged queries (25.0%) not in the collection left out ('q9')")
    if "judgment twice" in untidy:
        asked.append(asked[0])
        said.append("1 judgment given twice")
    rows.shuffle(asked)
    grade = "{grade}.0" if "grades with .0" in untidy else "{grade}"
    columns = "{query}\t0\t{document}\t" + grade if "four columns" in untidy else "{query}\t{document}\t" + grade
    if "without grades" in untidy:
        columns = "{query}\t{document}"
        said.append("judgments without grades read as grade 1: 1 file ('test.tsv')")
    end = ("\t" if "trailing tab" in untidy else "") + ("\r\n" if "carriage returns" in untidy else "\n")
    lines = [columns.format(query=query, document=document, grade=rel) + end for query, document, rel in asked]
    if "comment" in untidy:
        lines.insert(rows.randrange(len(lines)), "# judged by two people" + end)
        said.append("1 line of comment left out")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "bread"
        layouts.jsonl(folder / "corpus.jsonl", documents)
        layouts.jsonl(folder / "queries.jsonl", queries)
        (folder / "qrels").mkdir()
        mark = b"\xef\xbb\xbf" * ("marked" in untidy)
        (folder / "qrels" / "test.tsv").write_bytes(mark + "".join(lines).encode())
        found = corpora.load(str(folder))
        if said:
            with pytest.raises(DataError, match="leave --strict out"):
                corpora.load(str(folder), strict=True)
        else:
            assert corpora.load(str(folder), strict=True).notes == found.notes == []
    title = "1984" if "number as title" in untidy else "Rye bread"
    whole = [
        (str(name[one]), f"{title if one == 'd1' else head} {text}".strip()) for one, head, text in BREAD.documents
    ]
    assert [(one.id, one.text) for one in found.documents] == whole
    assert sorted(found.qrels) == sorted((*one, "0") for one in kept)
    assert [words for words in said if not any(words in note for note in found.notes)] == []
    assert all(len(note) <= WIDTH for note in found.notes)


SAME_IN = {  # what is done to the ids of the judgments, and the words that name it
    "upper and lower case": str.upper,
    "white space around them": lambda name: f" {name}",
    "an ending such as .0": lambda name: f"{name}.0",
    "leading zeros": lambda name: f"0{name}",
    "a prefix": lambda name: f"doc-{name}",
    "their Unicode form": lambda name: unicodedata.normalize("NFD", name),
    "a file's ending": lambda name: f"{name}.txt",
}


@pytest.mark.parametrize("what", SAME_IN)
@pytest.mark.parametrize("table", ["documents", "queries"])
def test_ids_of_which_none_fits_are_an_error_that_says_in_what_they_differ(tmp_path, what, table):
    name = {"leading zeros": "{}", "an ending such as .0": "{}", "a prefix": "{}"}.get(what, "é{}")
    documents = [(name.format(at), "", f"text {at}") for at in (11, 12)]
    queries = [(name.format(at), f"question {at}") for at in (21, 22)]
    change = SAME_IN[what]
    judged = [
        (
            change(query[0]) if table == "queries" else query[0],
            change(document[0]) if table == "documents" else document[0],
            1,
        )
        for query, document in zip(queries, documents, strict=True)
    ]
    layouts.beir(tmp_path / "toy", Texts(documents, queries, judged))
    with pytest.raises(
        DataError, match=rf"none of the 2 judged {table} is in .*ids differ in {what}: judged .*, given"
    ):
        corpora.load(str(tmp_path / "toy"))


def test_a_million_wrong_lines_are_five(tmp_path):
    layouts.beir(tmp_path / "toy", BREAD)
    (tmp_path / "toy" / "qrels" / "test.tsv").write_text("q1\td1\tyes\n" * 1_000_000)
    with pytest.raises(DataError) as caught:
        corpora.load(str(tmp_path / "toy"))
    assert len(caught.value.problems) == 5 and "test.tsv:5: score 'yes'" in str(caught.value)
    assert "reading stopped at line 5" in caught.value.problems[-1]


def test_splits_are_found_wherever_they_are_named(tmp_path):
    layouts.beir(tmp_path / "toy", BREAD)
    for place in ("qrels_dev.tsv", "qrels/train.jsonl", "qrels-all.txt"):
        shutil.copy(
            tmp_path / "toy" / "qrels" / "test.tsv", tmp_path / "toy" / place.replace("train.jsonl", "train.txt")
        )
    assert sorted(corpora.check(str(tmp_path / "toy")).splits) == ["all", "dev", "test", "train"]
    assert corpora.load(str(tmp_path / "toy"), "dev").notes == ["judgments of split dev read from qrels_dev.tsv"]


def test_grades_that_are_fractions_are_read_by_the_cards_word(tmp_path):
    rows = [("q1", "d1", 1.5), ("q2", "d2", 0.5), ("q2", "d4", 2), ("q3", "d3", "0.66")]
    layouts.beir(tmp_path / "toy", dataclasses.replace(BREAD, judged=rows))
    with pytest.raises(
        DataError, match=r"test\.tsv:2: score '1.5' is a fraction; write relevant_from: 1, say, into (.*)"
    ) as error:
        corpora.load(str(tmp_path / "toy"))
    place = Path(str(error.value).splitlines()[0].rpartition(" into ")[2])
    place.write_text("relevant_from: 0.66\n")  # the advice can be followed
    assert [qrel.relevance for qrel in corpora.load(str(tmp_path / "toy")).qrels if qrel.query_id != "q2"] == [1, 1]
    found = corpora.load(str(tmp_path / "toy"))
    assert dict(found.relevant) == {"q1": ["d1"], "q2": ["d4"], "q3": ["d3"]}
    assert "4 grades read as 1 from 0.66 on, else as 0" in found.notes


def test_a_card_keeps_rows_by_the_value_of_a_column(tmp_path):
    """LongEmbed's lengths and ViDoRe's languages: six translations are not six queries."""
    documents = [
        {"doc_id": f"{name}-{size}", "text": text, "context_length": size}
        for name, _, text in BREAD.documents
        for size in (256, 512)
    ]
    queries = [
        {"qid": f"{name}-{size}", "text": text, "context_length": size, "language": "english"}
        for name, text in BREAD.queries
        for size in (256, 512)
    ]
    queries += [row | {"qid": f"{row['qid']}-fr", "language": "french"} for row in queries]
    judged = [
        {"qid": f"{query}-{size}{end}", "doc_id": f"{document}-{size}"}
        for query, document, _ in BREAD.judged
        for size in (256, 512)
        for end in ("", "-fr")
    ]
    for name, rows in (("corpus", documents), ("queries", queries), ("qrels", judged)):
        layouts.jsonl(tmp_path / "needle" / f"{name}.jsonl", rows)
    (tmp_path / "needle.yaml").write_text("keep: {context_length: 256, language: [english, german]}\n")
    found = corpora.load(str(tmp_path / "needle"))
    assert [query.id for query in found.queries] == ["q1-256", "q2-256", "q3-256"] and len(found.documents) == 4
    assert {qrel.doc_id for qrel in found.qrels} <= {document.id for document in found.documents}
    assert not any("not in the collection" in note for note in found.notes)


def test_judgments_of_rows_that_the_card_does_not_keep_are_left_out_where_ids_repeat(tmp_path):
    """LongEmbed asks the same question at every length, and says in the judgments at which."""
    sizes = (256, 512)
    tables: dict[str, list[dict]] = {
        "corpus": [{"doc_id": f"d{size}", "text": f"text {size}", "context_length": size} for size in sizes],
        "queries": [{"qid": "q", "text": "which", "context_length": size} for size in sizes[:1]],
        "qrels": [{"qid": "q", "doc_id": f"d{size}", "context_length": size} for size in sizes],
    }
    for name, rows in tables.items():
        layouts.jsonl(tmp_path / "needle" / f"{name}.jsonl", rows)
    (tmp_path / "needle.yaml").write_text("keep: {context_length: 256}\n")
    found = corpora.load(str(tmp_path / "needle"))
    assert found.relevant == {"q": ["d256"]} and not any("misses" in note for note in found.notes)


def test_the_same_collection_gives_the_same_bytes_in_every_layout(tmp_path):
    import harness

    found = {}
    for name, write in EVERY.items():
        write(tmp_path / name / "bread", BREAD)
        done = harness.evaluate(
            dataset=str(tmp_path / name / "bread"),
            split={"a_split_a_dataset": "Bread", "bright": "biology"}.get(name),
            pool="maxsim,topk:4",
            candidates="bm25",
            arms="truncate",
            lengths=[8, 16],
            output=tmp_path / name / "runs",
        )
        found[name] = (done.path / "summary.csv").read_bytes()
    assert len(set(found.values())) == 1 and len(found) == len(EVERY)


def test_long_documents_have_judgments_of_their_own(tmp_path):
    layouts.bright(tmp_path / "bright", BREAD)
    (tmp_path / "bright.yaml").write_text("config: long\n")
    found = corpora.load(str(tmp_path / "bright"), "biology")
    assert [one.id for one in found.documents] == ["long"] and found.relevant == {
        name: ["long"] for name, _ in BREAD.queries
    }


def test_documents_that_a_query_excludes_are_never_its_candidates_nor_judged(tmp_path):
    layouts.jsonl(tmp_path / "toy" / "corpus.jsonl", layouts.whole(BREAD, "id", "content"))
    rows = [{"id": "q1", "query": "bread", "gold_ids": ["d1", "d2"], "excluded_ids": ["d2", "d3"]}]
    layouts.jsonl(tmp_path / "toy" / "examples.jsonl", rows)
    found = corpora.load(str(tmp_path / "toy"))
    assert found.excluded == {"q1": {"d2", "d3"}} and found.relevant == {"q1": ["d1"]}
    assert "1 judgment of excluded documents left out" in found.notes


def test_several_sets_of_tables_need_a_word(tmp_path):
    layouts.configs(tmp_path / "mldr", BREAD)
    for table in ("corpus", "queries", "qrels"):
        shutil.copytree(tmp_path / "mldr" / f"en-{table}", tmp_path / "mldr" / f"de-{table}")
    with pytest.raises(DataError, match=r"holds 2 sets of tables: de, en; write 'config: de' into (.*), say"):
        corpora.load(str(tmp_path / "mldr"))
    (tmp_path / "mldr.yaml").write_text("config: en\n")
    equal(corpora.load(str(tmp_path / "mldr")), BREAD)


def test_a_folder_of_collections_names_them(tmp_path, monkeypatch):
    for name in ("android", "english"):
        layouts.beir(tmp_path / "cqadupstack" / name, BREAD)
    said = r"dataset '.*cqadupstack' is 2 datasets: android, english; give one of them, such as .*/android"
    with pytest.raises(OptionError, match=said):
        corpora.check(str(tmp_path / "cqadupstack"))
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    with pytest.raises(OptionError, match=said):
        corpora.check("cqadupstack")
    monkeypatch.delenv("HARNESS_DATASETS")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))  # as the zip is unpacked
    shutil.copytree(tmp_path / "cqadupstack", tmp_path / "cache" / "datasets" / "cqadupstack")
    with pytest.raises(DataError, match=said):
        corpora.load("cqadupstack")


def test_the_page_that_a_row_is_comes_before_the_report_it_is_from(tmp_path):
    rows = [{"corpus_id": at, "doc_id": "report", "markdown": f"page {at}"} for at in range(3)]
    layouts.parquet(tmp_path / "v3" / "corpus" / "test-00000-of-00001.parquet", rows)
    asked = [{"query_id": 0, "query": "which page", "language": "english"}]
    layouts.parquet(tmp_path / "v3" / "queries" / "test-00000-of-00001.parquet", asked)
    judged = [{"query_id": 0, "corpus_id": 2, "score": 2}]
    layouts.parquet(tmp_path / "v3" / "qrels" / "test-00000-of-00001.parquet", judged)
    found = corpora.load(str(tmp_path / "v3"))
    assert [one.id for one in found.documents] == ["0", "1", "2"] and found.relevant == {"0": ["2"]}


@pytest.mark.parametrize("name", ["id", "_id", "docid", "doc-id", "DOC_ID", "pid", "corpus-id", "docno", "passage_id"])
@pytest.mark.parametrize("text", ["text", "contents", "content", "passage", "body"])
def test_columns_have_aliases(tmp_path, name, text):
    layouts.beir(tmp_path / "toy", BREAD)
    rows = [
        {"other": 1, name: one["_id"], "title": one["title"], text: one["text"]} for one in layouts.documents(BREAD)
    ]
    layouts.jsonl(tmp_path / "toy" / "corpus.jsonl", rows)
    equal(corpora.load(str(tmp_path / "toy")), BREAD)


def test_a_document_that_is_not_there_is_missed_by_a_run(tmp_path):
    import harness

    layouts.beir(tmp_path / "toy", dataclasses.replace(BREAD, judged=[*BREAD.judged, ("q1", "gone", 1)]))
    question = {"dataset": str(tmp_path / "toy"), "pool": "maxsim", "candidates": "exact", "output": tmp_path / "runs"}
    done = harness.evaluate(**question, arms="truncate", lengths=[16], measures="R@10")
    values = dict(zip(done.per_query["query_id"], done.per_query["value"], strict=True))
    assert values == {"q1": 0.5, "q2": 1.0, "q3": 1.0} and done.manifest.candidates["recall"] == pytest.approx(2.5 / 3)
    stress = harness.stress(**question, counts=[0, 2], inject="gaussian", measures="R@10")
    assert stress.per_query.query("measure == 'R@10' and query_id == 'q1'")["value"].max() == 0.5
    texts = json.loads((tmp_path / "toy" / "queries.jsonl").read_text().splitlines()[0])["text"]
    assert texts and harness.gradients(dataset=str(tmp_path / "toy"), lengths=[4], output=tmp_path / "runs").path


def test_strict_refuses_a_run_on_what_is_untidy(tmp_path):
    from harness import cli

    layouts.beir(tmp_path / "toy", dataclasses.replace(BREAD, judged=[*BREAD.judged, ("q1", "gone", 1)]))
    for command in ("eval", "stress", "gradients", "train"):
        line = [
            command,
            "--dataset",
            str(tmp_path / "toy"),
            "--split",
            "test",
            "--strict",
            "--output",
            str(tmp_path / "r"),
        ]
        error = CliRunner().invoke(cli.app, line).exception
        assert isinstance(error, DataError) and "'gone'" in str(error) and "leave --strict out" in str(error), command


@pytest.mark.parametrize("name", ["csv", "titled_tsv", "nanobeir", "beir"])
def test_quotes_that_a_text_begins_and_ends_with_are_its_own(tmp_path, name):
    documents = [("d1", "", '"All of it"'), ("d2", "", 'he said "yes"')]
    quoted = Texts(documents, BREAD.queries, [("q1", "d1", 1)])
    PLAIN[name](tmp_path / "bread", quoted)
    assert [one.text for one in corpora.load(str(tmp_path / "bread")).documents[:2]] == ['"All of it"', 'he said "yes"']


def test_a_cell_of_csv_may_be_a_book(tmp_path):
    (tmp_path / "corpus.csv").write_text("id,text\nd1," + "word " * 40_000 + "\nd2,short\n")
    (tmp_path / "queries.csv").write_text("id,text\nq1,which\n")
    (tmp_path / "qrels.csv").write_text("query-id,corpus-id,score\nq1,d1,1\n")
    found = corpora.load(str(tmp_path))
    assert len(found.documents[0].text) == 5 * 40_000 - 1


@pytest.mark.parametrize("line", ["[1, 2]", "7", '"text"', "null"])
def test_a_first_line_that_is_no_row_is_one_line_whatever_it_is(tmp_path, line):
    for name in ("documents", "queries"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test.jsonl").write_text(line + "\n")
    with pytest.raises(HarnessError) as caught:
        corpora.load(str(tmp_path))
    assert "\n" not in caught.value.problems[0]
