"""Judgments inside the queries: BRIGHT, MLDR, AutoRAG, LoCo.

A query holds the ids of its relevant documents (``gold_ids``, ``retrieval_gt``, ``answer_pids``) or records that do
(``positive_passages``), and may hold ids that are never its candidates (``excluded_ids``). Queries lie in a table of
theirs, or, as MLDR's, in a file that a split names, beside the corpus.
"""

from __future__ import annotations

from pathlib import Path

from harness.corpora import places, reading
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.columns import QUERIES
from harness.corpora.rows import columns

ABOUT = "folder of queries with their judgments"
RANK = 20
SPLITS = ("test", "dev", "validation", "train")


def recognises(folder: Path) -> bool:
    if places.judged(folder) or not places.files(folder, places.DOCUMENTS):
        return False
    found = _queries(folder)
    names = [columns(paths[0]) for paths in found.values()]  # none of a file that is still to be downloaded
    return any(not one or "relevant" in QUERIES.choose(one) for one in names)


def splits(folder: Path, card: Card) -> list[str]:
    return [split or "test" for split in _queries(folder)]


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    documents = places.files(folder, places.DOCUMENTS, config=card.config)
    return {
        "documents": places.of_split(documents, split),
        "queries": places.of_split(_queries(folder), split),
        "qrels": [],
    }


def read(folder: Path, split: str, card: Card) -> Collection:
    return reading.collect(folder, split, card, files(folder, split, card), f"a {ABOUT} has a corpus and queries")


def _queries(folder: Path) -> places.Splits:
    return places.files(folder, places.QUERIES) or places.of_names(folder, SPLITS)
