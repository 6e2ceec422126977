"""What is fuzzed: a file a room, each input a set of files."""

from fuzzing.targets import archives, corpora, questions, runs, sound, vectors

__all__ = ["archives", "corpora", "questions", "runs", "sound", "vectors"]
