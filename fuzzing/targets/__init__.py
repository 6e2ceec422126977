"""What is fuzzed: a file a room, each input a set of files."""

from fuzzing.targets import archives, corpora, orders, questions, runs, vectors

__all__ = ["archives", "corpora", "orders", "questions", "runs", "vectors"]
