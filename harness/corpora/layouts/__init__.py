"""Layouts of a collection in a folder: one file each, asked in the order of their ranks."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol

from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.registry import Registry


class Layout(Protocol):
    """A module that reads one layout. Packages outside register theirs through the entry points ``harness.layouts``.

    ABOUT: what such a folder is called; RANK: layouts are asked in this order; recognises(folder): by names of files;
    splits(folder, card): the judged ones; files(folder, split, card): those that are read, by table;
    read(folder, split, card): what they hold.
    """

    ABOUT: str
    RANK: int

    def recognises(self, folder: Path) -> bool: ...

    def splits(self, folder: Path, card: Card) -> list[str]: ...

    def files(self, folder: Path, split: str, card: Card) -> dict[str, list[Path]]: ...

    def read(self, folder: Path, split: str, card: Card) -> Collection: ...


LAYOUTS: Registry[Layout] = Registry("layout")

for _module in pkgutil.iter_modules(__path__):
    LAYOUTS.register(_module.name)(importlib.import_module(f"{__name__}.{_module.name}"))


def layout_of(folder: Path) -> str | None:
    """The layout of a folder, or None."""
    if not folder.is_dir():
        return None
    ranked = sorted(LAYOUTS, key=lambda name: (LAYOUTS[name].RANK, name))
    return next((name for name in ranked if LAYOUTS[name].recognises(folder)), None)
