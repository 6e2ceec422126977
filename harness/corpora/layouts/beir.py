"""BEIR: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, or what people have made of these.

Documents are JSON lines, packed or not, called corpus, collection, documents, docs or passages; queries and judgments
may have any format that is read, judgments lie in ``qrels/``, in ``data/`` or beside the documents. A document's text
is its title, a space and its text.
"""

from __future__ import annotations

from pathlib import Path

from harness.corpora import places, reading
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.rows import JSONL

ABOUT = "BEIR folder"
RANK = 40


def recognises(folder: Path) -> bool:
    return bool(places.files(folder, places.DOCUMENTS, JSONL))


def splits(folder: Path, card: Card) -> list[str]:
    return list(places.judged(folder, card.config))


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    return places.three(folder, split, card.config, JSONL)


def read(folder: Path, split: str, card: Card) -> Collection:
    wanted = f"a {ABOUT} has corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
    return reading.collect(folder, split, card, files(folder, split, card), wanted)
