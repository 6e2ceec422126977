"""How time and memory grow with a corpus: the real store, the real indexes and the real scoring pass, 1× to 8×.

Every step of every size runs in a process of its own, so that a peak is its own. Memory is what the process allocated
(RssAnon); pages of mapped files (RssFile), which the system takes back when it needs them, stand beside it. Time is
what all threads of the process worked, core seconds, which others on the machine lengthen little; wall seconds beside.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (25_000, 50_000, 100_000, 200_000)
PATCHES, DIM, TOKENS, ASKED, SCORED = 64, 128, 32, 64, 4
KINDS = ("IVF1024,SQ8", "disk:IVF1024,SQ8")  # the lists do not grow, so that building is linear and a search too
STEPS = ("store", *(f"{part} {kind}" for kind in KINDS for part in ("index", "search")), "score")
POOLS, LENGTHS = ("maxsim", "topk:4", "softmax:1.0"), (16, 32, 48, 64)
PERIOD = 0.005  # seconds between two looks at a process


class Drawn:
    """An encoder that draws: an item's patches are some of 65,536 random directions, a function of its id alone."""

    fingerprint = "drawn"

    def __init__(self) -> None:
        drawn = np.random.default_rng(0).standard_normal((1 << 16, DIM), np.float32)
        self.drawn = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)

    def recipe(self, role: str) -> dict[str, Any]:
        return {"role": role, "patches": PATCHES, "dim": DIM}

    def encode(self, items: Sequence[Any], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        count = PATCHES if role == "document" else TOKENS
        for at, item in enumerate(items):
            yield [(at, self.drawn[np.random.default_rng(int(item.id)).integers(0, len(self.drawn), count)])]


def step(name: str, size: int, root: Path) -> dict[str, float]:
    """One step in this process: core seconds, wall seconds, and the memory there was before it."""
    from harness import candidates
    from harness.aggregators import AGGREGATORS
    from harness.engines.local import Local
    from harness.progress import Stages
    from harness.records import Candidates, Dataset, Document, Qrel, Query
    from harness.scoring.sweep import sweep
    from harness.vectors import store
    from harness.vectors.arms import make_arm

    documents = [Document(str(at), "") for at in range(size)]
    queries = [Query(str(size + at), "") for at in range(ASKED)]
    quiet, part = Stages(show=False), name.partition(" ")[2]
    fetch = {"document": documents, "query": queries}
    begun = _now()
    held = {role: store.fetch(Drawn(), items, role, quiet, root) for role, items in fetch.items()}
    if name == "store":
        return _since(begun)
    begun = _now()
    if part:
        judged = Dataset("drawn", "test", documents, queries, [Qrel(one.id, "0", 1) for one in queries], "")
        candidates.find("faiss", candidates.Search(judged, held["document"], held["query"], 100, part, quiet, root))
        wanted = ["search"] if name.startswith("search") else ["train", "index", "merge"]
        worked, took = (
            sum(one[f"candidates: {stage}"] for stage in wanted) for one in (quiet.core_seconds, quiet.seconds)
        )
        return _since(begun) | {"seconds": worked, "wall": took}
    asked = [str(size + at) for at in range(SCORED)]
    chosen = Candidates(asked, held["document"].ids, np.tile(np.arange(size), (SCORED, 1)), "exact", 1.0, ranked=False)
    arm, pools = make_arm("truncate", LENGTHS, None, "distractor", 0), [AGGREGATORS.make(one) for one in POOLS]
    sweep(held["document"], held["query"], chosen, arm, LENGTHS, pools, Local())
    return _since(begun)


def _now() -> dict[str, float]:
    return {"before": anonymous("self"), "wall": time.perf_counter(), "seconds": time.process_time()}


def _since(begun: dict[str, float]) -> dict[str, float]:
    now = _now()
    return {name: now[name] - begun[name] for name in ("seconds", "wall")} | {"before": begun["before"]}


def anonymous(process: str, kind: str = "RssAnon") -> float:
    """Megabytes a process has of a kind of memory now."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(kind)), 0.0)


def watched(name: str, size: int, root: Path) -> dict[str, float]:
    """The step in a process of its own, and the most memory it had."""
    words = [sys.executable, "-m", "benchmarks.corpus_growth", name, str(size), str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        peaks = {"RssAnon": 0.0, "RssFile": 0.0}

        def watch() -> None:
            while process.poll() is None:
                for kind in peaks:
                    peaks[kind] = max(peaks[kind], anonymous(str(process.pid), kind))
                time.sleep(PERIOD)

        thread = threading.Thread(target=watch)
        thread.start()
        assert process.stdout
        said = process.stdout.read()
        thread.join()
    if process.returncode:
        raise RuntimeError(f"{name} of {size:,} documents failed")
    made = json.loads(said.splitlines()[-1])
    added = peaks["RssAnon"] - made.pop("before")
    return made | {"peak": peaks["RssAnon"], "added": added, "mapped": peaks["RssFile"]}


def main(sizes: Sequence[int] = SIZES, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Every step at every size; then how each grows."""
    made: dict[str, dict[str, dict[str, float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
            for name in STEPS:
                if name.startswith("search"):  # its index is there already
                    for path in Path(folder).glob("candidates/*.npy"):
                        path.unlink()
                row = watched(name, size, Path(folder))
                made.setdefault(name, {})[str(size)] = row
                tell(
                    f"  {size:>8,} documents  {name:<24} {row['seconds']:8.2f} core s  {row['peak']:7.0f} MB, "
                    f"{row['added']:6.0f} of them its own; mapped {row['mapped']:6.0f} MB"
                )
    return {"sizes": list(sizes), "steps": made, "exponents": {name: exponents(rows) for name, rows in made.items()}}


def exponents(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Slopes of log seconds and of log peak memory over log documents, and the bytes one more document takes."""
    sizes = np.array([int(size) for size in rows], float)
    column = {name: np.array([row[name] for row in rows.values()]) for name in ("seconds", "peak")}
    slope = {name: float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for name, values in column.items()}
    return slope | {"bytes_per_document": float(np.polyfit(sizes, column["peak"] * (1 << 20), 1)[0])}


if __name__ == "__main__":
    print(json.dumps(step(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
