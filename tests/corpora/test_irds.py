"""Datasets of ir_datasets: through the package if it is there, else one line; here through one with its interface."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from harness import corpora
from harness.errors import DataError, HarnessError, OptionError
from tests.corpora.layouts import BREAD


class TitledDoc(NamedTuple):
    doc_id: str
    title: str
    text: str
    url: str


class BodyDoc(NamedTuple):
    doc_id: str
    body: bytes | str


class PlainDoc(NamedTuple):
    doc_id: str
    headline: str
    paragraphs: tuple[str, ...]

    def default_text(self) -> str:
        return " ".join([self.headline, *self.paragraphs])


class GenericQuery(NamedTuple):
    query_id: str
    text: str


class Topic(NamedTuple):
    query_id: str
    title: str
    description: str


class TrecQrel(NamedTuple):
    query_id: str
    doc_id: str
    relevance: int
    iteration: str


class Fake:
    """What ir_datasets.load gives; a part that is None is not there."""

    def __init__(self, docs: Any = None, queries: Any = None, qrels: Any = None):
        self.parts = {"docs": docs, "queries": queries, "qrels": qrels}
        self.walked = 0

    def __getattr__(self, name: str) -> Any:
        """has_docs() and docs_iter(), and so on."""
        if name.startswith("has_"):
            return lambda: self.parts[name.removeprefix("has_")] is not None
        self.walked += name == "docs_iter"
        return lambda: iter(self.parts[name.removesuffix("_iter")])


QRELS = [TrecQrel(query, document, grade, "0") for query, document, grade in BREAD.judged]
TITLED = [TitledDoc(name, title, text, "http://x") for name, title, text in BREAD.documents]
QUERIES = [GenericQuery(*row) for row in BREAD.queries]


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A module in the place of ir_datasets, with datasets by id."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    datasets: dict[str, Fake] = {}
    module = ModuleType("ir_datasets")
    module.load = datasets.__getitem__  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ir_datasets", module)
    return datasets


def test_a_dataset_is_read_and_its_documents_only_once(package):
    package["bread/test"] = fake = Fake(TITLED, QUERIES, QRELS)
    found = corpora.load("irds:bread/test")
    assert [(one.id, one.title, one.text) for one in found.documents] == [
        (name, title, f"{title} {text}".strip()) for name, title, text in BREAD.documents
    ]
    assert [(one.id, one.text) for one in found.queries] == list(BREAD.queries)
    assert sorted((one.query_id, one.doc_id, one.relevance) for one in found.qrels) == sorted(BREAD.judged)
    assert corpora.load("irds:bread/test") == found and fake.walked == 1


def test_texts_have_the_names_that_the_package_gives_them(package):
    documents = [BodyDoc(name, text) for name, _, text in BREAD.documents]
    package["body"] = Fake(documents, [Topic(name, text, "x") for name, text in BREAD.queries], QRELS)
    found = corpora.load("irds:body")
    assert [one.text for one in found.documents] == [text for _, _, text in BREAD.documents]
    assert [one.text for one in found.queries] == [text for _, text in BREAD.queries]
    package["own"] = Fake([PlainDoc(name, title, (text,)) for name, title, text in BREAD.documents], QUERIES, QRELS)
    assert corpora.load("irds:own").documents[0].text == "Rye bread Rye bread keeps for a week in linen."


def test_a_card_names_the_dataset_and_its_splits(package):
    for split, judged in (("search", QRELS), ("forum", QRELS[:1])):
        package[f"lotte/writing/test/{split}"] = Fake(TITLED, QUERIES, judged)
    assert list(corpora.check("lotte-writing").splits) == ["search", "forum"]
    assert len(corpora.load("lotte-writing").qrels) == 4 and len(corpora.load("lotte-writing", "forum").qrels) == 1


def said(name: str, kind: type[HarnessError]) -> str:
    with pytest.raises(kind) as caught:
        corpora.load(name)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_what_cannot_be_read_is_one_line(package, monkeypatch):
    package["bread"] = Fake(TITLED)
    assert "has no queries and no qrels; give one of its subsets" in said("irds:bread", DataError)
    assert "ir_datasets has no dataset 'none'" in said("irds:none", OptionError)

    def broken():
        raise RuntimeError("no route\nto host")
        yield

    package["far"] = Fake(TITLED, QUERIES, QRELS)
    monkeypatch.setattr(package["far"], "docs_iter", broken, raising=False)
    assert "(RuntimeError: no route)" in said("irds:far", DataError)
    package["odd"] = Fake(TITLED, QUERIES, [QRELS[0]._replace(relevance="much")])
    assert "odd:1: score 'much'" in said("irds:odd", DataError)
    monkeypatch.setitem(sys.modules, "ir_datasets", None)
    assert "needs the extra irds: pip install 'late-interaction-harness[irds]'" in said("irds:bread", OptionError)


def test_the_real_package_has_what_is_asked_of_it():
    real = pytest.importorskip("ir_datasets")
    dataset = real.load("vaswani")
    assert all(getattr(dataset, f"has_{part}")() for part in ("docs", "queries", "qrels"))
    with pytest.raises(KeyError):
        real.load("nothing/of/the/kind")
