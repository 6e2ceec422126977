"""TREC: documents and topics in SGML or XML, and ``qrels`` of four columns.

Documents lie in ``corpus``, ``collection``, ``documents`` or ``docs``, a file or a folder of them, topics in ``topics``
or ``queries``, or in any table of queries.
"""

from __future__ import annotations

from pathlib import Path

from harness.corpora import places, reading
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.sgml import is_sgml

ABOUT = "TREC folder"
RANK = 30
ENDINGS = (".trec", ".sgml", ".sgm", ".xml", ".txt", ".dat", "")
WORDS = (*places.DOCUMENTS, "doc")


def recognises(folder: Path) -> bool:
    found = places.files(folder, WORDS, ENDINGS)
    return any(is_sgml(paths[0]) for paths in found.values())


def splits(folder: Path, card: Card) -> list[str]:
    return list(places.judged(folder, card.config))


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    return {
        "documents": places.of_split(places.files(folder, WORDS, ENDINGS), split),
        "queries": places.of_split(
            places.files(folder, ("topics", *places.QUERIES), (*ENDINGS, *places.TABLES)), split
        ),
        "qrels": places.judged(folder, card.config).get(split, []),
    }


def read(folder: Path, split: str, card: Card) -> Collection:
    wanted = "a TREC folder has documents, topics and qrels, such as docs.trec, topics.xml and qrels.txt"
    return reading.collect(folder, split, card, files(folder, split, card), wanted)
