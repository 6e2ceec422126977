"""The documents reranked for each query."""

from harness.candidates.search import SOURCES, Search, find

__all__ = ["SOURCES", "Search", "find"]
