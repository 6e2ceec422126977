"""What is fuzzed: a file a room, each input a set of files."""

from fuzzing.targets import archives, corpora, orders, questions, runs, sound, vectors

__all__ = ["archives", "corpora", "orders", "questions", "runs", "sound", "vectors"]
