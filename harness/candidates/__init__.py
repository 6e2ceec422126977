"""The documents reranked for each query."""

from harness.candidates.sources import SOURCES, Search, find

__all__ = ["SOURCES", "Search", "find"]
