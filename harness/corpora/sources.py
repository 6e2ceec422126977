"""Collections that are made rather than read from a folder: plug-ins by name, ``(card, split) → Collection``."""

from __future__ import annotations

from collections.abc import Callable

from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.registry import Registry

SOURCES: Registry[Callable[[Card, str], Collection]] = Registry("source")
