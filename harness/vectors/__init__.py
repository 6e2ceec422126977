"""Vectors on disk, how a document's stream of patches goes on, and what is injected into it."""
