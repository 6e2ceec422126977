"""A process that encodes slowly: ``python -m tests.encoders.encoding CACHE LOG SECONDS``; LOG gets a line per text."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from harness.progress import Stages
from harness.records import Document
from harness.vectors import store

SHARD, DIM = 4, 8
ITEMS = [Document(f"d{at}", f"text {at}") for at in range(22)]


class Slow:
    """A vector a word, drawn by the word; every text takes some seconds and leaves a line in a file."""

    fingerprint = "slow"

    def __init__(self, log: Path, seconds: float):
        self.log, self.seconds = log, seconds

    def recipe(self, role):
        return {"role": role}

    def encode(self, items, role):
        for at, item in enumerate(items):
            time.sleep(self.seconds)
            with self.log.open("a") as file:
                file.write(f"{item.text}\n")
            words = item.text.split()
            yield [(at, np.array([np.random.default_rng(list(word.encode())).standard_normal(DIM) for word in words]))]


def encode(root: Path, log: Path, seconds: float = 0.0):
    store.SHARD = SHARD
    return store.fetch(Slow(log, seconds), ITEMS, "document", Stages(), root)


if __name__ == "__main__":
    encode(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
