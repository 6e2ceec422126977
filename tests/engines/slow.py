"""Work that takes its time and leaves a log. A worker imports this file, not the tests with all that they import."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np


def note(log: Path, name: str) -> None:
    """A line, the process and a name; it takes its time."""
    time.sleep(0.02)
    with log.open("a") as file:
        file.write(f"{os.getpid()} {name}\n")


class Slow:
    """Vectors drawn by the text."""

    fingerprint = "slow"

    def __init__(self, log: Path):
        self.log = log

    def recipe(self, role):
        return {"role": role}

    def tokens(self, text, role):
        return ["word"] * 20

    def encode(self, items, role):
        for at, item in enumerate(items):
            note(self.log, item.id)
            drawn = np.random.default_rng(list(item.text.encode())).standard_normal((6 + len(item.text) % 9, 8))
            yield [(at, drawn.astype(np.float16))]


class Broken(Slow):
    """No number is one."""

    fingerprint = "broken"

    def encode(self, items, role):
        yield [(at, np.full((2, 8), np.nan, np.float16)) for at, _ in enumerate(items)]
