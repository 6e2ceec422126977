"""The names that people give the columns of documents, queries and judgments: every alias, once.

Names are compared in lower case, with ``-`` for ``_`` and without either at the ends; of several that mean the same the
first listed wins. A page's ``doc_id`` names the report that it is from, so ``corpus_id`` comes before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUERY_IDS = ("query-id", "queryid", "qid", "q-id", "question-id", "questionid", "topic-id", "topicid")
DOCUMENT_IDS = (
    "corpus-id",
    "corpusid",
    "doc-id",
    "docid",
    "pid",
    "passage-id",
    "passageid",
    "document-id",
    "documentid",
    "docno",
    "page-id",
    "chunk-id",
)
TEXTS = ("text", "contents", "content", "passage", "body", "document", "segment", "chunk", "markdown")
GRADES = ("score", "relevance", "rel", "label", "grade", "judgment", "judgement", "relevant", "qrel")
ITERATIONS = ("iter", "iteration", "unused", "q0", "0")  # the second of TREC's four columns
IGNORED = ("url", "metadata", "source")
NESTED: tuple[str, ...] = (
    "gold-ids",
    "positive-passages",
    "retrieval-gt",
    "answer-pids",
    "relevant-docs",
    "relevant-doc-ids",
)
NESTED += ("relevant-passages", "relevant-ids", "positive-ids", "positive-docs", "positives", "gold-doc-ids")


@dataclass(frozen=True)
class Table:
    """One kind of table.

    columns: our name → aliases; needed: our names that must be there; positions: where a file has no header, number of
    columns → our names in order, "" for one that is not read; words: what else a header may hold.
    """

    noun: str
    columns: Mapping[str, Sequence[str]]
    needed: Sequence[str]
    positions: Mapping[int, Sequence[str]]
    words: Sequence[str] = ()

    def choose(self, names: Sequence[str], also: Sequence[str] = ()) -> dict[str, str]:
        """our name → the file's name, of those that are there. also: names that are read as they are."""
        known: dict[str, str] = {}
        for name in names:
            if name == "_id" or plain(name) not in known:
                known[plain(name)] = name
        found = {
            ours: next((known[one] for one in aliases if one in known), "") for ours, aliases in self.columns.items()
        }
        return {ours: name for ours, name in found.items() if name} | {name: name for name in also if name in names}

    def lacking(self, chosen: Mapping[str, str], names: Sequence[str]) -> str:
        """What a table without the needed columns is told; empty if they are there."""
        wanted = [f"{ours} ({', '.join(self.columns[ours][:4])}, …)" for ours in self.needed if ours not in chosen]
        has = ", ".join(map(str, names[:8])) or "nothing"
        return f"a {self.noun} needs {' and '.join(wanted)}; it has {has}" if wanted else ""

    def is_header(self, cells: Sequence[str]) -> bool:
        """Whether every cell is a word of a header and the needed columns are among them."""
        words = {*self.words, *IGNORED, *(alias for aliases in self.columns.values() for alias in aliases)}
        return all(plain(cell) in words for cell in cells) and not self.lacking(self.choose(cells), cells)


def plain(name: object) -> str:
    """A column's name as names are compared; a key may be a number."""
    return str(name).strip().lower().replace("_", "-").strip("-")


DOCUMENTS = Table(
    "document",
    {"id": ("id", *DOCUMENT_IDS), "title": ("title",), "text": TEXTS, "image": ("image",)},
    ("id", "text"),
    {2: ("id", "text"), 3: ("id", "text", "title"), 4: ("id", "", "title", "text")},
)
PAGES = Table("page", {**DOCUMENTS.columns, "text": ("markdown", "text")}, ("id", "image"), {})
QUERIES = Table(
    "query",
    {
        "id": ("id", *QUERY_IDS),
        "text": ("query", "question", "text", "contents", "content", "query-text"),
        "relevant": NESTED,
        "excluded": ("excluded-ids",),
    },
    ("id", "text"),
    {2: ("id", "text")},
)
QRELS = Table(
    "judgment",
    {"query": (*QUERY_IDS, "query", "topic"), "document": (*DOCUMENT_IDS, "doc", "document", "id"), "grade": GRADES},
    ("query", "document"),
    {2: ("query", "document"), 3: ("query", "document", "grade"), 4: ("query", "", "document", "grade")},
    ITERATIONS,
)
