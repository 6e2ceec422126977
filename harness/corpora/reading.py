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
    found = Collection(files={table: list(paths) for table, paths in files.items()})
    found.numbers = {"page": numbers} if numbers else {}
    judgments = Judgments(card, found.problems)
    found.documents = _documents(files["documents"], card, found) if pages is None else pages
    before = len(found.problems.lines)
    found.queries = list(_queries(files["queries"], card, found, judgments))
    if files["queries"] and not found.queries and len(found.problems.lines) == before:
        found.problems.add(f"{files['queries'][0]} holds no query; write one a line: {LINE}")
    for path in files["qrels"]:
        judgments.read(path)
    found.qrels = judgments.qrels
    needed = {"documents": pages is None, "queries": True, "qrels": not judgments.inside}
    for table in (table for table, needs in needed.items() if needs and not files[table]):
        found.problems.add(f"{folder}: {table} are missing; {wanted}")
    _say(judgments, found)
    _say_where(folder, split, files["qrels"], found)
    return found


def _say_where(folder: Path, split: str, paths: Sequence[Path], found: Collection) -> None:
    """Which files were read for judgments, where these are not the usual ones."""
    names = [str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path) for path in paths]
    usual = split == "test" and all(name.startswith("qrels/") and name.endswith(USUAL) for name in names)
    if names and not usual:
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        found.notes.say(f"judgments of split {split} read from {names[0]}{more}")


def _documents(paths: Sequence[Path], card: Card, found: Collection) -> documents.Documents:
    """The documents of these files, read once: the cache has them by the content of the files and this room's code."""
    reader, before = Reader(DOCUMENTS, card, found.problems), len(found.problems.lines)
    try:
        code = digest_of_files(Path(__file__).parent)
        key = digest(code, [(path.name, remembered(path)) for path in paths], dict(card.keep))
    except OSError:  # which is said when the file is read
        held = documents.in_memory(reader.documents(paths))
    else:
        held = documents.fetch(
            key,
            lambda: reader.documents(paths),
            lambda: asdict(reader.untidy) if len(found.problems.lines) == before else None,
        )
    if held.about.said:
        reader.untidy = Untidy(**{name: Named(**names) for name, names in held.about.said.items()})
    reader.untidy.say(DOCUMENTS.noun, found)
    return held


def _queries(paths: Sequence[Path], card: Card, found: Collection, judgments: Judgments) -> Iterator[Query]:
    reader, nested = Reader(QUERIES, card, found.problems), f"gold_ids_{card.config}" if card.config else ""
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
                found.excluded[name] = frozenset(filter(None, map(identifier, row["excluded"])))
            yield Query(name, text)
    found.aside |= reader.aside
    reader.untidy.say(QUERIES.noun, found)


@dataclass
class Untidy:
    """What was read of one table otherwise than it was written.

    ids: whole numbers read as text; values: numbers in the place of a text; empty: ids of rows whose text is null.
    """

    ids: Named = field(default_factory=Named)
    values: Named = field(default_factory=Named)
    empty: Named = field(default_factory=Named)

    def say(self, noun: str, found: Collection) -> None:
        """Add what is to be said of it to a collection."""
        if self.ids:
            found.numbers[noun] = self.ids
        if self.values:
            what = f"{counted(len(self.values), 'number')} in the place of a {noun}'s title or text read as text"
            found.notes.mend(what, self.values)
        if self.empty:
            found.notes.mend(f"{counted(len(self.empty), noun)} whose text is null read as empty", self.empty)


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


def _say(judgments: Judgments, found: Collection) -> None:
    """What is to be said of how judgments and ids were written."""
    if judgments.numbers:
        found.numbers["judgment"] = judgments.numbers
    if found.numbers:
        kinds = ", ".join(counted(len(ids), f"{noun} id") for noun, ids in found.numbers.items())
        found.notes.mend(
            f"ids that are whole numbers read as text: {kinds}", next(iter(found.numbers.values())).first[:1]
        )
    if judgments.ungraded:
        what = f"judgments without grades read as grade 1: {counted(len(judgments.ungraded), 'file')}"
        found.notes.mend(what, judgments.ungraded)
    if judgments.comments:
        what = f"{counted(len(judgments.comments), 'line')} of comment left out of the judgments"
        found.notes.mend(what, judgments.comments)
    if judgments.binary:
        found.notes.say(
            f"{counted(judgments.binary, 'grade')} read as 1 from {judgments.card.relevant_from} on, else as 0"
        )
