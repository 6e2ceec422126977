"""Queries that are documents themselves. Ids alone never say so: many collections number both from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.corpora.documents import Documents
from harness.corpora.notes import Notes, counted
from harness.records import Document, Query


def shared(documents: Documents, queries: Sequence[Query]) -> dict[str, bool]:
    """Ids that a query and a document have in common, and whether the two have one text, in the queries' order."""
    asked = {query.id: query for query in queries}
    same = {document.id: is_text(asked[document.id], document) for document in documents.find(asked.keys())}
    return {query.id: same[query.id] for query in queries if query.id in same}


def is_text(query: Query, document: Document) -> bool:
    """Whether a query is a document's text, with or without its title; runs of white space count as one space."""
    words = query.text.split()
    return words in (document.text.split(), document.text.removeprefix(document.title).split())


def excluded(pairs: Mapping[str, bool], ids_are_same: bool) -> dict[str, frozenset[str]]:
    """Documents that are never a query's candidates, by query. pairs: as ``shared`` gives them."""
    return {name: frozenset([name]) for name, same in pairs.items() if same or ids_are_same}


def say(pairs: Mapping[str, bool], ids_are_same: bool, notes: Notes) -> None:
    """Note the ids that are shared: documents left out of the candidates, and those that merely coincide."""
    own = list(excluded(pairs, ids_are_same))
    apart = [name for name, same in pairs.items() if not (same or ids_are_same)]
    if own:
        what = "is the document of its id" if len(own) == 1 else "are the document of their id"
        notes.say(f"{counted(len(own), 'query')} {what}, never a candidate", own)
    if apart:
        what = "has the id of a document of another text" if len(apart) == 1 else "have ids of documents of other texts"
        notes.say(
            f"{counted(len(apart), 'query')} {what}", apart, ", which stay candidates (card key: same_ids_are_same)"
        )
