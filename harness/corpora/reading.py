"""Documents, queries and judgments from the files of a collection's tables, whatever the format of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.corpora import documents, rows
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.columns import DOCUMENTS, QUERIES, Table
from harness.corpora.judgments import Judgments, identifier
from harness.corpora.lines import Reading, shown
from harness.corpora.notes import Named, counted
from harness.corpora.rows import Row
from harness.errors import Problems
from harness.files import digest, remembered
from harness.plugins import digest_of_files
from harness.records import Document, Query

LINE = '{"_id": "1", "text": "…"}'
USUAL = (".tsv", ".parquet")  # endings of files in qrels/


def collect(
    folder: Path,
    split: str,
    card: Card,
    files: Mapping[str, Sequence[Path]],
    wanted: str,
    pages: Sequence[Document] | None = None,
    numbers: Named | None = None,
) -> Collection:
    """Everything that the files of a folder hold.

    wanted: what such a folder has; pages: documents that were read elsewhere; numbers: ids of theirs that were numbers.
    """
    collection = Collection(files={table: list(paths) for table, paths in files.items()})
    collection.numbers = {"page": numbers} if numbers else {}
    judgments = Judgments(card, collection.problems)
    collection.documents = _documents(files["documents"], card, collection) if pages is None else pages
    before = len(collection.problems.lines)
    collection.queries = list(_queries(files["queries"], card, collection, judgments))
    if files["queries"] and not collection.queries and len(collection.problems.lines) == before:
        collection.problems.add(f"{files['queries'][0]} holds no query; write one a line: {LINE}")
    for path in files["qrels"]:
        judgments.read(path)
    collection.qrels = judgments.qrels
    needed = {"documents": pages is None, "queries": True, "qrels": not judgments.inside}
    for table in (table for table, needs in needed.items() if needs and not files[table]):
        collection.problems.add(f"{folder}: {table} are missing; {wanted}")
    _say(judgments, collection)
    _say_where(folder, split, files["qrels"], collection)
    return collection


def _say_where(folder: Path, split: str, paths: Sequence[Path], collection: Collection) -> None:
    """Which files were read for judgments, where these are not the usual ones."""
    names = [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in paths]
    usual = split == "test" and all(name.startswith("qrels/") and name.endswith(USUAL) for name in names)
    if names and not usual:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        collection.notes.say(f"judgments of split {split} read from {names[0]}{more}")


def _documents(paths: Sequence[Path], card: Card, collection: Collection) -> documents.Documents:
    """The documents of these files, read once: the cache has them by the content of the files and this room's code."""
    reader, before = Reader(DOCUMENTS, card, collection.problems), len(collection.problems.lines)
    try:
        code = digest_of_files(Path(__file__).parent)
        key = digest(code, [(path.name, remembered(path)) for path in paths], dict(card.keep))
    except OSError:  # which is said when the file is read
        held = documents.in_memory(reader.documents(paths))
    else:
        held = documents.fetch(
            key,
            lambda: reader.documents(paths),
            lambda: asdict(reader.untidy) if len(collection.problems.lines) == before else None,
        )
    if held.summary.facts:
        reader.untidy = Untidy(**{name: Named(**names) for name, names in held.summary.facts.items()})
    reader.untidy.say(DOCUMENTS.noun, collection)
    return held


def _queries(paths: Sequence[Path], card: Card, collection: Collection, judgments: Judgments) -> Iterator[Query]:
    reader, nested = Reader(QUERIES, card, collection.problems), f"gold_ids_{card.config}" if card.config else ""
    for reading, number, row in reader.rows(paths, [nested]):
        name, text = identifier(row["id"]), reader.text(row["text"])
        relevant = row.get(nested, row.get("relevant"))
        if name is None:
            reading.add(number, f"a query's id must be text or a whole number, not {shown(row['id'])}")
        elif text is None:
            reading.add(number, f'"text" must be text, not {shown(row["text"])}')
        elif relevant is not None and not judgments.nested(name, relevant):
            reading.add(number, f"the relevant documents must be ids or records with one, not {shown(relevant)}")
        else:
            if isinstance(row.get("excluded"), list) and row["excluded"]:
                collection.excluded[name] = frozenset(filter(None, map(identifier, row["excluded"])))
            yield Query(name, text)
    collection.aside |= reader.aside
    reader.untidy.say(QUERIES.noun, collection)


@dataclass
class Untidy:
    """What was read of one table otherwise than it was written.

    ids: whole numbers read as text; values: numbers in the place of a text; empty: ids of rows whose text is null.
    """

    ids: Named = field(default_factory=Named)
    values: Named = field(default_factory=Named)
    empty: Named = field(default_factory=Named)

    def say(self, noun: str, collection: Collection) -> None:
        """Add what is to be said of it to a collection."""
        if self.ids:
            collection.numbers[noun] = self.ids
        if self.values:
            what = f"{counted(len(self.values), 'number')} in the place of a {noun}'s title or text read as text"
            collection.notes.mend(what, self.values)
        if self.empty:
            collection.notes.mend(f"{counted(len(self.empty), noun)} whose text is null read as empty", self.empty)


class Reader:
    """The rows of one table's files that the card keeps. aside: ids of the others."""

    def __init__(self, table: Table, card: Card, problems: Problems):
        self.table, self.card, self.problems = table, card, problems
        self.untidy, self.aside = Untidy(), set[str]()

    def rows(self, paths: Sequence[Path], also: Sequence[str] = ()) -> Iterator[tuple[Reading, int, Row]]:
        for path in paths:
            reading = Reading(path, self.problems)
            for number, row in rows.rows(path, self.table, reading, [*self.card.keep, *also]):
                if self.card.keep and not self.card.keeps(row):
                    self.aside.add(identifier(row["id"]) or "")
                    continue
                if isinstance(row["id"], int):
                    self.untidy.ids.add(row["id"])
                if row.get("text", "") is None:
                    self.untidy.empty.add(row["id"])
                yield reading, number, row

    def documents(self, paths: Sequence[Path]) -> Iterator[Document]:
        """The documents that the rows are."""
        for reading, number, row in self.rows(paths):
            name, title, text = identifier(row["id"]), self.text(row.get("title")), self.text(row["text"])
            if name is None:
                reading.add(number, f"a document's id must be text or a whole number, not {shown(row['id'])}")
            elif text is None or title is None:
                wrong = row["text"] if text is None else row["title"]
                reading.add(number, f'"{"text" if text is None else "title"}" must be text, not {shown(wrong)}')
            else:
                yield Document(name, f"{title} {text}".strip(), title=title.strip())

    def text(self, value: Any) -> str | None:
        """Text as it is, no value as no text, a number as its digits; None for anything else."""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            self.untidy.values.add(value)
            return str(value)
        return "" if value is None else None


def _say(judgments: Judgments, collection: Collection) -> None:
    """What is to be said of how judgments and ids were written."""
    if judgments.numbers:
        collection.numbers["judgment"] = judgments.numbers
    if collection.numbers:
        kinds = ", ".join(counted(len(ids), f"{noun} id") for noun, ids in collection.numbers.items())
        collection.notes.mend(
            f"ids that are whole numbers read as text: {kinds}", next(iter(collection.numbers.values())).first[:1]
        )
    if judgments.ungraded:
        what = f"judgments without grades read as grade 1: {counted(len(judgments.ungraded), 'file')}"
        collection.notes.mend(what, judgments.ungraded)
    if judgments.comments:
        what = f"{counted(len(judgments.comments), 'line')} of comment left out of the judgments"
        collection.notes.mend(what, judgments.comments)
    if judgments.binary:
        collection.notes.say(
            f"{counted(judgments.binary, 'grade')} read as 1 from {judgments.card.relevant_from} on, else as 0"
        )
