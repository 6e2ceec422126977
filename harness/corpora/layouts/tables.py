"""Tables of the hub: Parquet files under ``corpus/``, ``queries/`` and ``qrels/`` or their kin, texts in their columns.

A table is a folder, or a file that begins with its name, here or under ``data/``; ``en-corpus`` is a table of the set
``en``. mteb keeps judgments in ``data/<split>…`` or ``default/<split>…``.
"""

from __future__ import annotations

from pathlib import Path

from harness.corpora import places, reading
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.rows import PARQUET

ABOUT = "folder of tables"
RANK = 50


def recognises(folder: Path) -> bool:
    return bool(places.files(folder, places.DOCUMENTS, PARQUET))


def splits(folder: Path, card: Card) -> list[str]:
    return list(places.judged(folder, card.config))


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    return places.three(folder, split, card.config, PARQUET)


def read(folder: Path, split: str, card: Card) -> Collection:
    wanted = "a folder of tables has corpus/, queries/ and qrels/ with parquet files"
    return reading.collect(folder, split, card, files(folder, split, card), wanted)
