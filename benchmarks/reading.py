"""How long a collection in MS MARCO's tsv layout takes to read, and how much memory: at first, and from the cache.

python -m benchmarks.reading [--documents 8841823] [--shuffled]

The texts are made: a few words each, so that ids, order and bookkeeping weigh most. Every reading is a process of its
own with a cache of its own; memory is its peak resident set, pages of mapped files included.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

QUERIES, SENTENCES = 1_000, 9_973
READ = """
import json, resource, sys, time
from harness import corpora
from harness.corpora import documents
documents.LETTERS = int(sys.argv[2])
begin = time.perf_counter()
found = corpora.load(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"documents": len(found.documents), "seconds": time.perf_counter() - begin, "peak": peak}))
"""


def make(folder: Path, documents: int, shuffled: bool = False) -> None:
    """collection.tsv, queries.tsv and qrels.tsv; no two texts are equal."""
    rows = random.Random(0)
    words = [f"word{at}" for at in range(5_000)]
    sentences = [" ".join(rows.choices(words, k=8)) for _ in range(SENTENCES)]
    order = list(range(documents))
    if shuffled:
        rows.shuffle(order)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "collection.tsv").open("w") as file:
        file.writelines(f"{at}\t{sentences[at % SENTENCES]} {at}\n" for at in order)
    asked = range(min(QUERIES, documents))
    (folder / "queries.tsv").write_text("".join(f"q{at}\twhat is {sentences[at]}\n" for at in asked))
    (folder / "qrels.tsv").write_text("".join(f"q{at}\t0\t{at * 7 % documents}\t1\n" for at in asked))


def read(folder: Path, cache: Path, letters: int = 1 << 25) -> dict[str, float]:
    """Documents, wall seconds and peak bytes of a process that reads a folder. letters: of a file in the cache."""
    environment = {**os.environ, "HARNESS_CACHE": str(cache)}
    line = [sys.executable, "-c", READ, str(folder), str(letters)]
    said = subprocess.run(line, check=True, stdout=subprocess.PIPE, env=environment).stdout
    figures: dict[str, float] = json.loads(said)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description="Read a large collection.")
    parser.add_argument("--documents", type=int, default=8_841_823, help="how many; MS MARCO's passages if left out")
    parser.add_argument("--shuffled", action="store_true", help="lines in an order that is not that of the ids")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        make(Path(work) / "made", given.documents, given.shuffled)
        for name in ("first reading", "from the cache"):
            figures = read(Path(work) / "made", Path(work) / "cache")
            print(f"{name:<16} {figures['seconds']:8.1f} s {figures['peak'] / 1e6:8,.0f} MB", flush=True)


if __name__ == "__main__":
    main()
