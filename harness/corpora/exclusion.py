"""Queries that are documents themselves. Ids alone never say so: many collections number both from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import examples
from harness.records import Document, Query


def shared(documents: Sequence[Document], queries: Sequence[Query]) -> dict[str, bool]:
    """Ids that a query and a document have in common, and whether the two have one text, in the queries' order."""
    asked = {query.id: query for query in queries}
    same = {document.id: is_text(asked[document.id], document) for document in documents if document.id in asked}
    return {query.id: same[query.id] for query in queries if query.id in same}


def is_text(query: Query, document: Document) -> bool:
    """Whether a query is a document's text, with or without its title; runs of white space count as one space."""
    words = query.text.split()
    return words in (document.text.split(), document.text.removeprefix(document.title).split())


def excluded(pairs: Mapping[str, bool], ids_are_same: bool) -> dict[str, frozenset[str]]:
    """Documents that are never a query's candidates, by query. pairs: as ``shared`` gives them."""
    return {name: frozenset([name]) for name, same in pairs.items() if same or ids_are_same}


def notes(pairs: Mapping[str, bool], ids_are_same: bool) -> list[str]:
    """What is to be said of shared ids: those left out of the candidates, and those that merely coincide."""
    own = list(excluded(pairs, ids_are_same))
    apart = [name for name, same in pairs.items() if not (same or ids_are_same)]
    said = []
    if own:
        said.append(f"{len(own):,} queries are the document of the same id, never their candidate: {examples(own)}")
    if apart:
        what = f"{len(apart):,} queries share their id with a document of another text ({examples(apart)})"
        said.append(f"{what}, which stays a candidate; a card's same_ids_are_same leaves it out")
    return said
