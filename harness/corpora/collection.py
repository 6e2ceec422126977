"""What a layout or a source returns: everything it read, before it is checked as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.corpora.notes import Named, Notes
from harness.errors import Problems
from harness.records import Document, Qrel, Query


@dataclass
class Collection:
    """Documents, queries and judgments as they were read.

    version: joins the fingerprint; problems: mistakes found on the way, reported with those of the whole; notes: what
    was read otherwise than it was written; excluded: query → documents that are never its candidates; aside: ids
    of queries that the card does not keep; numbers: ids that were whole numbers, by noun; layout, files: what was read.
    """

    documents: Sequence[Document] = ()
    queries: list[Query] = field(default_factory=list)
    qrels: list[Qrel] = field(default_factory=list)
    version: str = ""
    problems: Problems = field(default_factory=Problems)
    notes: Notes = field(default_factory=Notes)
    excluded: dict[str, frozenset[str]] = field(default_factory=dict)
    aside: set[str] = field(default_factory=set)
    numbers: dict[str, Named] = field(default_factory=dict)
    layout: str = ""
    files: dict[str, list[Path]] = field(default_factory=dict)
