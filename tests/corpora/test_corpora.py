"""Corpora: what is read, what is refused and how it is named, what is downloaded and unpacked."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness import corpora
from harness.corpora.base import card_of
from harness.corpora.origins.archive import unpack
from harness.corpora.stdlib import read, split_docstring
from harness.errors import DataError, HarnessError
from harness.files import checksum

DOCUMENTS = [
    {"_id": "d1", "title": "Cats", "text": "purr at night"},
    {"_id": "d2", "text": "dogs bark", "metadata": {}},
    {"_id": "<ж>:3", "title": None, "text": "birds sing"},
]
QUERIES = [{"_id": name, "text": f"question {name}"} for name in ("q1", 'q:"日本"/', "q3", "q4")]
ROWS = [("q1", "d1", 2), ("q1", "d2", 0), (QUERIES[1]["_id"], "<ж>:3", 1), ("q3", "d1", 0)]
QRELS = "query-id\tcorpus-id\tscore\n" + "".join("{}\t{}\t{}\n".format(*row) for row in ROWS)
SHIPPED = Path(corpora.__file__).parents[2] / "datasets"


def beir(folder: Path, documents=DOCUMENTS, queries=QUERIES, qrels=QRELS) -> Path:
    """A BEIR folder; what is given as bytes is written as it is."""
    (folder / "qrels").mkdir(parents=True)
    for name, rows in {"corpus": documents, "queries": queries}.items():
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(lines))
    (folder / "qrels" / "test.tsv").write_bytes(qrels if isinstance(qrels, bytes) else qrels.encode())
    return folder


def refusal(name, kind=DataError) -> HarnessError:
    with pytest.raises(kind) as caught:
        corpora.load(str(name))
    return caught.value


LAYOUTS = [QRELS, QRELS.split("\n", 1)[1], b"\xef\xbb\xbf" + QRELS.replace("\n", "\n\n").encode()]
LAYOUTS += ["".join(row.format(*judged) for judged in ROWS) for row in ("{}\t0\t{}\t{}\n", "{} 0 {} {}\r\n")]


@pytest.mark.parametrize("qrels", LAYOUTS, ids=["header", "no header", "mark, blank lines", "trec", "trec, spaces"])
def test_a_folder_is_read_whole_and_queries_without_a_relevant_document_go(tmp_path, qrels):
    folder = str(beir(tmp_path / "toy", qrels=qrels))
    dataset, limited = corpora.load(folder), corpora.load(folder, limit=1)
    assert [document.text for document in dataset.documents] == ["Cats purr at night", "dogs bark", "birds sing"]
    assert [query.id for query in dataset.queries] == [row["_id"] for row in QUERIES[:2]]
    assert [(qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in dataset.qrels] == ROWS[:3]
    assert (limited.documents, limited.queries) == (dataset.documents, dataset.queries[:1])
    assert limited.qrels == dataset.qrels[:2] and any("first 1 of 2" in note for note in limited.notes)


MISTAKES = {
    "malformed": ({"documents": [*DOCUMENTS[:2], b'{"_id": "d3", "text"']}, ["corpus.jsonl:3"]),
    "nested": ({"documents": [*DOCUMENTS, b"[" * 100_000]}, ["corpus.jsonl:4"]),
    "no text": ({"queries": [{"_id": "q1"}, *QUERIES[1:]]}, ["queries.jsonl:1", "needs text (query", "it has _id"]),
    "no id": ({"documents": [*DOCUMENTS, {"_id": 7.5, "text": "lost"}]}, ["corpus.jsonl:4", "id must be text", "7.5"]),
    "id without value": ({"documents": [*DOCUMENTS, {"_id": None, "text": "x"}]}, ["corpus.jsonl:4", "not None"]),
    "text": ({"documents": [*DOCUMENTS, {"_id": "d4", "text": ["x"]}]}, ["corpus.jsonl:4", '"text" must be', "['x']"]),
    "title": ({"documents": [*DOCUMENTS, {"_id": "d4", "title": ["x"], "text": ""}]}, ["corpus.jsonl:4", '"title"']),
    "not UTF-8": ({"documents": [DOCUMENTS[0], b'{"_id": "d2", "text": "\xff"}']}, ["corpus.jsonl:2", "UTF-8"]),
    "judgment": ({"qrels": QRELS + "q1\td1\tgood\n"}, ["test.tsv:6"]),
    "document twice": ({"documents": [*DOCUMENTS, {**DOCUMENTS[1], "text": "x"}]}, ["1 document id given", "'d2'"]),
    "queries twice": (
        {"queries": [*QUERIES, *({**one, "text": "x"} for one in QUERIES[::2])]},
        ["2 query ids", "'q3'"],
    ),
    "unknown documents": (
        {"qrels": "q1 a 1\nq1 b 1\nq1 c 1\nq1 d 1\n"},
        ["none of the 4 judged doc", "'c' and 1 more"],
    ),
    "unknown queries": ({"qrels": "q9\td1\t1\n"}, ["none of the 1 judged query", "'q9'"]),
    "empty query": ({"queries": [{"_id": "q1", "text": " "}, *QUERIES[1:]]}, ["without text", "'q1'"]),
    "only empty": (
        {"documents": [{"_id": "d1", "text": " "}, DOCUMENTS[1]], "qrels": "q1 d1 1"},
        ["none of them has a"],
    ),
    "nothing relevant": ({"qrels": "q1\td1\t0\n"}, ["no query has a relevant document"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_that_names_its_place(tmp_path, name):
    files, wanted = MISTAKES[name]
    error = refusal(beir(tmp_path / "toy", **files))
    assert len(error.problems) == 1 and "\n" not in str(error)
    assert [words for words in wanted if words not in str(error)] == []


def test_mistakes_are_reported_together(tmp_path):
    lines = str(refusal(beir(tmp_path / "a", [*DOCUMENTS, b"{"], [b"[]", *QUERIES], QRELS + "q1\n")))
    assert all(place in lines for place in ("corpus.jsonl:4", "queries.jsonl:1", "test.tsv:6"))
    documents, queries = ([*items, {**items[0], "text": "another"}] for items in (DOCUMENTS, QUERIES))
    lines = str(refusal(beir(tmp_path / "b", documents, queries, QRELS + "q1\td1\t1\n")))
    assert all(name in lines for name in ("'d1'", "'q1'", "('q1', 'd1')")) and lines.count("\n") == 2
    (beir(tmp_path / "c", [b"{"] * 1000) / "queries.jsonl").unlink()
    lines = str(refusal(tmp_path / "c"))
    assert "corpus.jsonl:1:" in lines and "queries are missing; a BEIR folder has" in lines and lines.count("\n") < 10


ROW = st.dictionaries(st.sampled_from(["_id", "title", "text"]), st.none() | st.integers() | st.text(max_size=3))
LINES = st.lists(st.one_of(st.binary(max_size=12), ROW, st.sampled_from(DOCUMENTS + QUERIES)), max_size=6)


@settings(deadline=None, max_examples=60)
@given(documents=LINES, queries=LINES, qrels=st.binary(max_size=20) | st.just(b"q1\td1\t1\n"))
@example(DOCUMENTS, QUERIES, b"q1\td1\t" + b"9" * 5000)
@example([b'{"_id": "d1", "text": "\\ud83d"}'], QUERIES, b"q1\td1\t1\n")
def test_a_folder_is_a_sound_dataset_or_a_data_error(documents, queries, qrels):
    with tempfile.TemporaryDirectory() as work:
        folder = beir(Path(work) / "toy", documents, queries, qrels)
        try:
            dataset = corpora.load(str(folder))
        except DataError:
            return
    assert {one.id for one in dataset.queries} == {qrel.query_id for qrel in dataset.qrels if qrel.relevance > 0}
    assert {one.id for one in dataset.documents} & {qrel.doc_id for qrel in dataset.qrels}
    assert all(one.text.strip() for one in [*dataset.documents, *dataset.queries])
    assert all((one.id + one.text).encode() for one in [*dataset.documents, *dataset.queries])


def test_the_fingerprint_names_the_content(tmp_path):
    changes = [
        {"documents": [{**DOCUMENTS[0], "text": "purr at noon"}, *DOCUMENTS[1:]]},
        {"documents": [*DOCUMENTS, {"_id": "d4", "text": "fish"}]},
        {"queries": [{"_id": "q1", "text": "another"}, *QUERIES[1:]]},
        {"qrels": QRELS.replace("d1\t2", "d1\t1")},
        {"qrels": QRELS.replace("<ж>:3", "d2")},
    ]
    folders = [beir(tmp_path / str(at), **files) for at, files in enumerate([{}, {}, *changes])]
    prints = [corpora.load(str(folder)).fingerprint for folder in folders]
    assert prints[0] == prints[1] and len(set(prints)) == 1 + len(changes)


def test_given_folders_win_over_datasets_and_those_over_the_shipped_cards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beir(tmp_path / "datasets" / "scifact", DOCUMENTS[:1], qrels="q1\td1\t1\n")
    assert len(corpora.load("scifact").documents) == 1
    (tmp_path / "stdlib.yaml").write_text("source: stdlib\nsplits: [train]\n")
    beir(tmp_path / "two" / "scifact")
    monkeypatch.setenv("HARNESS_DATASETS", f"{tmp_path}{os.pathsep}{tmp_path / 'two'}")
    assert len(corpora.load("scifact").documents) == 3 and corpora.check("stdlib").splits == ["train"]
    card, shipped = corpora.check("scifact"), card_of(SHIPPED / "scifact.yaml")
    assert (card.licence, card.splits, shipped.splits) == (shipped.licence, ["test"], ["test", "train"])


@pytest.mark.parametrize("card", ["", "source: beir\ndrop_empty: true\n"])
def test_a_document_without_text_is_never_retrieved_and_its_judgments_are_misses(tmp_path, monkeypatch, card):
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    beir(tmp_path / "toy", [*DOCUMENTS, {"_id": "d4", "text": " \n"}], qrels=QRELS + "q4\td4\t1\nq1\td4\t1\n")
    if card:
        (tmp_path / "toy.yaml").write_text(card)
    for name in ("toy", str(tmp_path / "toy")):
        dataset = corpora.load(name)
        assert [document.id for document in dataset.documents] == ["d1", "d2", "<ж>:3"]
        assert dataset.relevant["q4"] == ["d4"] and dataset.relevant["q1"] == ["d1", "d4"]
        assert any(note.startswith("1 document without text") and "'d4'" in note for note in dataset.notes)
        with pytest.raises(DataError, match=r"1 document without text.*leave --strict out"):
            corpora.load(name, strict=True)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_card_is_complete(path):
    card, text = corpora.datasets()[path.stem], path.read_text()
    assert card == card_of(path) and card.description and card.source in (*corpora.SOURCES, "beir", "hub")
    assert card.licence or re.search("^# .*licence: ", text, re.MULTILINE)  # or why there is none
    assert card.source != "beir" or (card.url.startswith("https://") and re.fullmatch("[0-9a-f]{32}", card.md5))
    assert card.source != "hub" or re.fullmatch("[0-9a-f]{40}", card.revision or "") or "# revision: main" in text
    assert not card.group or path.stem.startswith(f"{card.group}-")
    assert len(card.description) <= 40


BROKEN = ["source: [", "- source", "", "source: beir\nkeep: language", "source: beir\ncolour: red", "source: beri"]
BROKEN += ["source: beir\nsplits: test", "source: beir\nsplits: []", "source: stdlib\nabout: 2020-99-99", "\0"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_card_is_named(tmp_path, monkeypatch, text):
    (tmp_path / "toy.yaml").write_text(text)
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    assert "toy.yaml" in str(refusal("toy", HarnessError))


def test_a_download_is_kept_only_when_verified_and_a_failure_is_one_line_with_the_next_step(tmp_path, monkeypatch):
    archive = Path(shutil.make_archive(str(tmp_path / "toy"), "zip", beir(tmp_path / "made" / "toy").parent, "toy"))
    asked = []

    def fetch(url, path):
        asked.append(url)
        shutil.copy(archive, path)
        if len(asked) == 1:
            raise requests.exceptions.ConnectionError("no route\nto host")

    monkeypatch.setattr("beir.util.download_url", fetch)
    monkeypatch.setenv("HARNESS_DATASETS", str(tmp_path))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    md5, card = checksum(archive, "md5"), "source: beir\nurl: https://example.org/toy.zip\nmd5: "
    for published, wanted in [(md5, "https://example.org/toy.zip"), ("f" * 32, md5)]:
        (tmp_path / "toy.yaml").write_text(card + published)
        error = refusal("toy")
        assert len(error.problems) == 1 and "\n" not in str(error) and not list(tmp_path.glob("cache/*/*"))
        assert wanted in str(error) and "HARNESS_DATASETS" in str(error)
    (tmp_path / "toy.yaml").write_text(card + md5)
    assert len(corpora.load("toy").documents) == len(corpora.load("toy").documents) == 3
    assert asked == ["https://example.org/toy.zip"] * 3


def zipped(path: Path, member: str = "good/other") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("good/file", "good " * 20)
        info = zipfile.ZipInfo(member)
        info.external_attr = (stat.S_IFLNK if member == "good/link" else stat.S_IFREG) << 16
        bundle.writestr(info, "content")
    return path


OUTSIDE = ["../evil", "a/../../evil", "/evil", "..\\evil", "a\\..\\..\\evil", "\\evil", "C:/evil", "C:\\evil", "C:evil"]


@pytest.mark.parametrize("member", [*OUTSIDE, "good/link"])
def test_an_archive_that_would_leave_its_folder_is_refused_whole(tmp_path, member):
    archive = zipped(tmp_path / "a.zip", member)
    with pytest.raises(DataError, match=r"evil|link"):
        unpack(archive, tmp_path / "folder" / "deep")
    assert list(tmp_path.rglob("*")) == [archive]


def test_a_file_that_is_no_sound_zip_is_refused(tmp_path):
    sound = zipped(tmp_path / "a.zip").read_bytes()
    begin = len("good/file") + 30  # where the first member's bytes begin
    flipped = [sound[:at] + bytes([sound[at] ^ 2]) + sound[at + 1 :] for at in range(begin, begin + 7)]
    for content in (b"", b"<html>not found</html>", sound[:40], sound[:-30], *flipped):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.zip"):
            unpack(tmp_path / "a.zip", tmp_path / "folder")
        assert list(tmp_path.rglob("*")) == [tmp_path / "a.zip"]


MODULE = '''"""Tools for apples. More on tools."""
LIMIT = 3
def pick(tree, count=1):
    """Pick ripe apples
    from a tree. Leaves are kept.

    Tree is a tree."""
    def reach(): "Reach up for a branch."
    return tree[:count]
def _hidden(): return "hidden"
class Basket(dict):
    """Hold picked apples until sold! Baskets are round."""
    size = 5
    async def sell(self,
                   price):
        """Sell all apples at once. Prices vary."""
        return await price
    def drop(self): "Drop all apples now."; return None
def bare(x): return x
\x0c
def bake(x):
    """Bake one apple. Takes long."""
    return x
'''
HOLDS = {  # a document's name: its query, and what must be in its text
    "apples": ("Tools for apples.", ["module apples", "More on tools.", "LIMIT = 3", "def pick(tree, count=1):"]),
    "apples.pick": ("Pick ripe apples from a tree.", ["Leaves are kept.", "Tree is a tree.", "return tree[:"]),
    "apples.Basket": ("Hold picked apples until sold!", ["Baskets are round.", "size = 5", "async def sell(self,"]),
    "apples.Basket.sell": ("Sell all apples at once.", ["sell(self, price):", "Prices vary.", "return await"]),
    "apples.Basket.drop": ("Drop all apples now.", ["def drop(self)", "return None"]),
    "apples.bake": ("Bake one apple.", ["def bake(x):", "Takes long.", "return x"]),
}


def test_a_document_holds_its_definition_but_not_its_query_or_its_members_docstrings():
    items = list(read("apples", MODULE))
    assert [(item.name, item.sentence) for item in items] == [(name, query) for name, (query, _) in HOLDS.items()]
    texts = {item.name: " ".join(item.text.split()) for item in items}
    lost = [(name, part) for name in texts for part in [name, *HOLDS[name][1]] if part not in texts[name]]
    leaked = [(name, item.sentence) for name in texts for item in items if item.sentence in texts[name]]
    assert (lost, leaked) == ([], [])


@given(st.text(alphabet="ab.!? \n\t\u2028", max_size=60))
def test_a_split_docstring_loses_no_word(docstring):
    sentence, rest = split_docstring(docstring)
    assert f"{sentence} {rest}".split() == docstring.split()
    assert "\n" not in sentence and bool(sentence) == bool(docstring.strip())


def test_the_standard_library_is_a_large_known_item_collection_read_in_seconds_and_not_imported():
    started, before = time.process_time(), set(sys.modules)
    test, train, seconds = corpora.load("stdlib"), corpora.load("stdlib", "train"), time.process_time() - started
    documents, queries = {document.id for document in test.documents}, [*test.queries, *train.queries]
    assert not (set(sys.modules) - before) & documents and "antigravity" not in sys.modules
    assert len(documents) > 1000 and seconds < 60 and all(document.text.strip() for document in test.documents)
    assert len({query.text.lower() for query in queries}) == len({query.id for query in queries}) == len(queries)
    assert [qrel.query_id for qrel in test.qrels] == [query.id for query in test.queries] and len(queries) > 1000
    assert {qrel.doc_id for qrel in test.qrels}.isdisjoint(qrel.doc_id for qrel in train.qrels)


def test_scifact_has_its_published_size(scifact):
    test, train = corpora.load(str(scifact)), corpora.load(str(scifact), "train")
    assert (len(test.documents), len(test.queries), len(test.qrels), len(train.queries)) == (5183, 300, 339, 809)
