"""From ``--dataset`` to a judged collection: find the card or the folder, load it, check it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from harness.corpora import irds, places
from harness.corpora.cards import Card, read_card
from harness.corpora.collection import Collection
from harness.corpora.layouts import LAYOUTS, layout_of
from harness.corpora.origins import archive, hub
from harness.corpora.policy import checked
from harness.corpora.sources import SOURCES
from harness.errors import DataError, OptionError, unknown
from harness.files import too_long
from harness.records import Dataset

ORIGINS = {"beir": archive.download, "hub": hub.download}
"""Sources that bring a folder, which is then read by its layout."""


def folders() -> list[Path]:
    """Where cards and folders are looked for: ``$HARNESS_DATASETS``, ``datasets/``, then the cards shipped."""
    given = [Path(one) for one in os.environ.get("HARNESS_DATASETS", "").split(os.pathsep) if one]
    here = Path(__file__).parent
    return [*given, Path("datasets"), here / "cards", here.parents[1] / "datasets"]


def datasets() -> dict[str, Card]:
    """Every dataset that can be named, the first found of each name; a folder wins over a card and uses it."""
    cards: dict[str, Card] = {}
    local: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in cards:
                cards[path.stem] = card_of(path)
        for path in sorted(folder.glob("*/")):
            if path.name not in local and layout_of(path):
                local[path.name] = path
    return cards | {name: _local(folder, cards.get(name)) for name, folder in local.items()}


def card_of(path: Path) -> Card:
    """A dataset card. Raises DataError naming the file and the key that is wrong."""
    return read_card(path, sorted({*SOURCES, *LAYOUTS, *ORIGINS}))


def _local(folder: Path, card: Card | None = None) -> Card:
    """The card of a dataset's folder: the named card's facts, the folder's own layout and splits."""
    layout = layout_of(folder)
    assert layout is not None
    card = replace(card or Card(folder.name), source=layout, folder=folder)
    found = sorted(set(LAYOUTS[layout].splits(folder, card)) or {"test"}, key=lambda split: (split != "test", split))
    return replace(card, splits=found, description=card.description or f"a {LAYOUTS[layout].ABOUT}: {folder}")


def check(name: str, split: str | None = None) -> Card:
    """The card a name or a path means. Raises OptionError with the nearest name; reads no document."""
    if too_long(name):
        raise OptionError(f"unknown dataset {name[:40] + '…'!r}: no name or path is that long")
    card = _named(name)
    if split is not None and split not in card.splits:
        raise OptionError(unknown(f"split of dataset {card.name!r}", split, card.splits))
    return card


def _named(name: str) -> Card:
    if name.startswith(irds.PREFIX):
        return irds.card(name)
    folder = Path(name)
    if layout_of(folder):
        folder = folder.resolve()
        beside = folder.with_name(f"{folder.name}.yaml")
        return _local(folder, card_of(beside) if beside.is_file() else None)
    if line := _several(name, folder):
        raise OptionError(line)
    if hub.is_name(name):
        return hub.card(name)
    if "/" in name or name.startswith(".") or folder.is_dir():
        what = "no corpus there, such as corpus.jsonl beside queries.jsonl, corpus/ with parquet files, collection.tsv"
        raise OptionError(f"dataset {name!r}: {what}; a folder of pages has images/ (see datasets/README.md)")
    for place in folders():
        if line := _several(name, place / name):
            raise OptionError(line)
    known = datasets()
    if name not in known:
        line = unknown("dataset", name, known)
        raise OptionError(f"{line}; or the path of a BEIR folder, or put one under datasets/ or $HARNESS_DATASETS")
    return known[name]


def _several(name: str, folder: Path) -> str:
    """What is said of a folder of datasets, such as CQADupStack; nothing of another."""
    if not folder.is_dir() or layout_of(folder) or not (parts := places.inner(folder)):
        return ""
    what = f"dataset {name!r} is {len(parts)} datasets: {', '.join(parts[:20])}"
    return f"{what}; give one of them, such as {folder / parts[0]}"


def load(name: str, split: str | None = None, limit: int | None = None, strict: bool = False) -> Dataset:
    """A judged collection; ``limit`` keeps the first queries by id. Raises DataError with all that is wrong with it."""
    card = check(name, split)
    split = split or card.splits[0]
    return checked(card, split, read(card, split), limit, strict)


def read(card: Card, split: str) -> Collection:
    """Everything that a dataset holds, as it is there. Raises DataError with the next step if it cannot be read."""
    if card.folder is None and card.source in SOURCES:
        return SOURCES[card.source](card, split)
    if card.folder is None and card.source not in ORIGINS:
        what = f"{card.source or 'a card without source'} is read from a folder of that name"
        raise DataError(f"dataset {card.name!r}: {what}; put it under datasets/ or $HARNESS_DATASETS")
    folder, version = (card.folder, "") if card.folder else ORIGINS[card.source](card, split)
    layout = layout_of(folder)
    if layout is None:
        several = _several(card.name, folder)
        raise DataError(
            several or f"dataset {card.name!r}: {folder} holds no collection; remove it and repeat the command"
        )
    found = LAYOUTS[layout].read(folder, split, card)
    found.layout, found.version = layout, version or found.version
    if version:
        found.notes.say(f"read from the hub: {version}")
    return found
