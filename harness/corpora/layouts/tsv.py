"""ColBERT's and MS MARCO's files: ``collection.tsv``, ``queries.tsv`` and ``qrels.tsv``, columns between tabs.

A line of the collection is an id and a text, or an id, a text and a title; of MS MARCO's documents an id, a URL, a
title and a text. A first line of a header's words names the columns instead.
"""

from __future__ import annotations

from pathlib import Path

from harness.corpora import places, reading
from harness.corpora.cards import Card
from harness.corpora.collection import Collection

ABOUT = "folder of tsv files"
RANK = 60
ENDINGS = (".tsv", ".csv")


def recognises(folder: Path) -> bool:
    return bool(places.files(folder, places.DOCUMENTS, ENDINGS))


def splits(folder: Path, card: Card) -> list[str]:
    return list(places.judged(folder, card.config))


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    return places.three(folder, split, card.config, ENDINGS)


def read(folder: Path, split: str, card: Card) -> Collection:
    wanted = "a folder of tsv files has collection.tsv, queries.tsv and qrels.tsv"
    return reading.collect(folder, split, card, files(folder, split, card), wanted)
