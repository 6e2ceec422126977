"""What a checkpoint learns from: queries with their relevant documents, in batches that are a function of the seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.randomness import generator
from harness.records import Dataset

Relevant = Sequence[np.ndarray]
"""Rows of the relevant documents of every query."""


@dataclass(frozen=True)
class Batch:
    """Queries, each with one relevant document; every other query's document is a negative.

    queries: rows (B); documents: rows (D), each once; target: (B) positions in documents; left_out: (B, D), the
    relevant documents of a query that are not its target: neither positive nor negative.
    """

    queries: np.ndarray
    documents: np.ndarray
    target: np.ndarray
    left_out: np.ndarray


def answerable(dataset: Dataset) -> Dataset:
    """The dataset without queries none of whose relevant documents is in the collection."""
    judged = {qrel.doc_id for qrel in dataset.qrels}
    known = {document.id for document in dataset.documents if document.id in judged}
    kept = [query for query in dataset.queries if not known.isdisjoint(dataset.relevant[query.id])]
    return dataset if len(kept) == len(dataset.queries) else replace(dataset, queries=kept)


def relevant(dataset: Dataset) -> Relevant:
    """Rows of every query's relevant documents that are there, in the order of the judgments."""
    judged = {qrel.doc_id for qrel in dataset.qrels}
    rows = {document.id: row for row, document in enumerate(dataset.documents) if document.id in judged}
    return [
        np.array([rows[document] for document in dataset.relevant[query.id] if document in rows], np.int64)
        for query in dataset.queries
    ]


def hold_out(queries: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the queries to train on, and of those that judge an epoch, the same for every seed."""
    order = generator(0, "held out").permutation(queries)
    kept = min(max(1, round(queries * share)), queries - 1)
    return np.sort(order[kept:]), np.sort(order[:kept])


def gallery(documents: int, judged: Relevant, size: int) -> np.ndarray:
    """Rows of the documents held-out queries are ranked against: all relevant ones, others up to the size."""
    wanted = np.unique(np.concatenate(judged))
    others = np.setdiff1d(np.arange(documents), wanted)
    more = min(max(0, size - len(wanted)), len(others))
    return np.union1d(wanted, generator(0, "gallery").permutation(others)[:more])


def batches(judged: Relevant, queries: np.ndarray, size: int, seed: int, epoch: int) -> Iterator[Batch]:
    """An epoch: every query once, in an order and with a relevant document drawn anew; batches of nearly equal size."""
    random = generator(seed, "epoch", str(epoch))
    order = random.permutation(queries)
    drawn = {query: judged[query][random.integers(len(judged[query]))] for query in order.tolist()}
    for part in np.array_split(order, max(1, round(len(order) / size))):
        targets = np.array([drawn[query] for query in part.tolist()])
        documents, target = np.unique(targets, return_inverse=True)
        left_out = np.stack([np.isin(documents, judged[query]) for query in part.tolist()])
        left_out[np.arange(len(part)), target] = False
        yield Batch(part, documents, target, left_out)
