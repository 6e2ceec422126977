"""Datasets of ir_datasets, ``irds:ID``: read through that package, which downloads and checks their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import packages
from harness.corpora import documents
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.columns import DOCUMENTS, QUERIES, Table
from harness.corpora.judgments import Judgments
from harness.corpora.lines import Reading
from harness.corpora.sources import SOURCES
from harness.errors import DataError, OptionError, first_line
from harness.files import digest
from harness.records import Document, Query

PREFIX = "irds:"
PARTS = ("docs", "queries", "qrels")


def card(name: str) -> Card:
    """The card of ``irds:ID``. Raises OptionError if ir_datasets has none of that id."""
    found = Card(name, "irds", f"a dataset of ir_datasets: {name}", irds=name.removeprefix(PREFIX))
    _opened(found, "test")
    return found


@SOURCES.register("irds")
def irds(card: Card, split: str) -> Collection:
    """The card's dataset. Raises DataError if it lacks documents, queries or judgments, or cannot be downloaded."""
    package, dataset, name = _opened(card, split)
    if lacking := [part for part in PARTS if not getattr(dataset, f"has_{part}")()]:
        raise DataError(f"dataset {card.name!r} has no {' and no '.join(lacking)}; give one of its subsets with them")
    collection = Collection(version=f"{PREFIX}{name}")
    judgments, place = Judgments(card, collection.problems), Reading(Path(name), collection.problems)
    try:
        key = digest(PREFIX, name, getattr(package, "__version__", ""))
        collection.documents = documents.fetch(key, lambda: _documents(dataset), dict)
        collection.queries = [Query(query.query_id, _text(query, QUERIES, "title")) for query in dataset.queries_iter()]
        for number, one in enumerate(dataset.qrels_iter(), 1):
            judgments.add(number, {"query": one.query_id, "document": one.doc_id, "grade": one.relevance}, place)
    except DataError:
        raise
    except Exception as error:  # what downloads and parses raise has no base class
        raise DataError(f"{PREFIX}{name} could not be read ({type(error).__name__}: {first_line(error)})") from None
    collection.qrels = judgments.qrels
    return collection


def _opened(card: Card, split: str) -> tuple[Any, Any, str]:
    """The package, the dataset and its id."""
    try:
        import ir_datasets
    except ImportError:
        raise OptionError(f"dataset {card.name!r} needs the extra irds: {packages.install('irds')}") from None
    name = str(card.irds).replace("{split}", split)
    try:
        return ir_datasets, ir_datasets.load(name), name
    except KeyError:
        raise OptionError(f"ir_datasets has no dataset {name!r}; https://ir-datasets.com lists them") from None


def _documents(dataset: Any) -> Iterator[Document]:
    for one in dataset.docs_iter():
        title = (getattr(one, "title", "") or "").strip()
        yield Document(one.doc_id, f"{title} {_text(one, DOCUMENTS)}".strip(), title=title)


def _text(row: Any, table: Table, otherwise: str = "") -> str:
    """The text of a named tuple: of the column that has an alias of it, of another, or the package's own choice."""
    chosen = table.choose(row._fields)
    if name := chosen.get("text") or (otherwise if otherwise in row._fields else ""):
        return getattr(row, name) or ""
    return row.default_text() if hasattr(row, "default_text") else ""
