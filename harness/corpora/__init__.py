"""Corpora: where documents, queries and judgments come from. A card, or a folder, is all it takes to add a dataset."""

from harness.corpora import irds, stdlib, synthetic  # noqa: F401 (they register themselves)
from harness.corpora.base import check, datasets, load
from harness.corpora.cards import Card
from harness.corpora.layouts import LAYOUTS
from harness.corpora.sources import SOURCES

__all__ = ["LAYOUTS", "SOURCES", "Card", "check", "datasets", "load"]
