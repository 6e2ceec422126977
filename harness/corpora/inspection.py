"""What was read of a dataset, from where, and what it is like: the answer of ``harness inspect``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.corpora.base import check, read
from harness.corpora.policy import checked
from harness.records import Dataset, Document

ROWS = 3  # of every table that are shown


@dataclass(frozen=True)
class Inspection:
    """A dataset as it was read.

    files: paths by table; counts: of documents, queries and judgments, in the order they are shown; grades: how many
    judgments have each; words: of every document and query, by noun; tokens: of a sample of them, in those of the
    checkpoint; duplicates: groups of ids whose texts are equal; rows: the first of every table.
    """

    name: str
    split: str
    splits: Sequence[str]
    layout: str
    files: Mapping[str, Sequence[str]]
    counts: Mapping[str, int | float]
    grades: Mapping[int, int]
    words: Mapping[str, Sequence[int]]
    duplicates: Sequence[Sequence[str]]
    notes: Sequence[str]
    rows: Mapping[str, Sequence[tuple[str, ...]]]
    fingerprint: str
    checkpoint: str = ""
    tokens: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON holds it, lengths summarised."""
        whole = asdict(self)
        for name in ("words", "tokens"):
            whole[name] = {noun: summary(counts) for noun, counts in whole[name].items()}
        return whole


def inspect(name: str, split: str | None = None, strict: bool = False) -> tuple[Inspection, Dataset]:
    """Read a dataset and say what it is like. Raises DataError as loading it does."""
    card = check(name, split)
    split = split or card.splits[0]
    raw = read(card, split)
    files = {table: [str(path) for path in paths] for table, paths in raw.files.items()}
    layout = raw.layout
    dataset = checked(card, split, raw, None, strict)
    judged = [len(found) for found in dataset.relevant.values()]
    counts: dict[str, int | float] = {
        "documents": len(dataset.documents),
        "queries with a relevant document": len(dataset.queries),
        "judgments": len(dataset.qrels),
        "relevant documents per query": round(sum(judged) / len(judged), 2),
    }
    return Inspection(
        dataset.name,
        split,
        list(card.splits),
        layout,
        files,
        counts,
        dict(sorted(Counter(qrel.relevance for qrel in dataset.qrels).items())),
        {
            "document": [len(one.text.split()) for one in dataset.documents],
            "query": [len(one.text.split()) for one in dataset.queries],
        },
        duplicates(dataset.documents),
        dataset.notes,
        _rows(dataset),
        dataset.fingerprint,
    ), dataset


def duplicates(documents: Sequence[Document]) -> list[list[str]]:
    """Ids of documents with equal texts, in the order of the first of each group; texts are compared by their hash."""
    contents = ((one.text if one.page is None else one.page.checksum) for one in documents)
    keys = np.fromiter(map(hash, contents), np.int64, len(documents))
    _, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    groups: dict[int, list[str]] = {}
    for row in np.flatnonzero(counts[places] > 1).tolist():
        groups.setdefault(int(places[row]), []).append(documents[row].id)
    return list(groups.values())


def _rows(dataset: Dataset) -> dict[str, list[tuple[str, ...]]]:
    return {
        "documents": [
            (one.id, one.text or str(Path(one.page.path).name if one.page else "")) for one in dataset.documents[:ROWS]
        ],
        "queries": [(one.id, one.text) for one in dataset.queries[:ROWS]],
        "judgments": [(one.query_id, one.doc_id, str(one.relevance)) for one in dataset.qrels[:ROWS]],
    }


def summary(counts: Sequence[int]) -> dict[str, float]:
    """Least, median, mean, nine tenths and most of some lengths."""
    ordered = sorted(counts)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {
        "least": ordered[0],
        "median": ordered[last // 2],
        "mean": round(sum(ordered) / len(ordered), 1),
        "90 %": ordered[round(last * 0.9)],
        "most": ordered[-1],
    }
