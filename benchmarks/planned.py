"""What ``harness plan`` predicts against what ``harness eval`` then takes, by stage, at several sizes.

Vectors are drawn and given as ``embeddings:FOLDER``; one corpus is of texts that the default checkpoint encodes. Time
is core seconds: what all threads of the process worked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks.work import own_cache

SIZES = (5_000, 20_000, 60_000)
TEXTS = 400
PATCHES, DIMS, QUERIES, TOKENS, DEPTH = 64, 128, 200, 32, 100
POOLS = "maxsim,topk:4"
PARTS = {
    "load": ("load dataset", "load checkpoint", "check documents", "check queries"),
    "encode": ("encode documents", "encode queries"),
    "train": ("candidates: train",),
    "index": ("candidates: index",),
    "search": ("candidates: search",),
    "score truncate": ("score truncate",),
    "score pad": ("score pad",),
    "rank": ("rank and measure",),
    "compare": ("compare",),
}


def main(sizes: tuple[int, ...] = SIZES, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Predicted and actual core seconds of every stage, the texts' corpus last."""
    made = {}
    for size in (*sizes, -TEXTS):
        with tempfile.TemporaryDirectory(prefix="planned-") as place:
            name = f"{abs(size):,} {'texts' if size < 0 else 'documents'}"
            made[name] = both(abs(size), Path(place), texts=size < 0)
        for stage, row in made[name].items():
            ratio = f"{row['predicted'] / row['actual']:6.2f} ×" if row["actual"] else ""
            tell(
                f"  {name:<18} {stage:<15} predicted {row['predicted']:8.2f}, took {row['actual']:8.2f} core s {ratio}"
            )
    return made


def both(size: int, place: Path, texts: bool) -> dict[str, dict[str, float]]:
    """One corpus, planned and run."""
    counts = np.random.default_rng(size).integers(PATCHES // 2, 3 * PATCHES // 2 + 1, size)
    corpus(place / "data", counts, texts)
    if not texts:
        vectors(place / "vectors", counts)
    checkpoint = "minilm" if texts else f"embeddings:{place / 'vectors'}"
    patches, dims, tokens = (PATCHES + 2, 384, TOKENS + 2) if texts else (PATCHES, DIMS, TOKENS)
    planned = run(
        [
            "plan",
            "--documents",
            str(size),
            "--patches",
            str(patches),
            "--queries",
            str(QUERIES),
            "--depth",
            str(DEPTH),
            "--dims",
            str(dims),
            "--query-tokens",
            str(tokens),
            "--pool",
            POOLS,
            "--checkpoint",
            checkpoint,
            "--format",
            "json",
        ]
    )
    run(
        [
            "eval",
            "--dataset",
            str(place / "data"),
            "--checkpoint",
            checkpoint,
            "--pool",
            POOLS,
            "--depth",
            str(DEPTH),
            "--output",
            str(place / "runs"),
            "--device",
            "cpu",
        ],
        own_cache(place),
    )
    [path] = place.glob("runs/*/manifest.json")
    took = json.loads(path.read_text())["core_seconds"]
    predicted = {stage["name"]: stage["seconds"] for stage in json.loads(planned)["stages"]}
    rows = {
        part: {"predicted": predicted.get(part, 0.0), "actual": sum(took.get(name, 0.0) for name in names)}
        for part, names in PARTS.items()
    }
    return rows | {"all": {key: sum(row[key] for row in rows.values()) for key in ("predicted", "actual")}}


def run(words: list[str], environment: Mapping[str, str] = os.environ) -> str:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ).stdout


def corpus(folder: Path, counts: np.ndarray, texts: bool) -> None:
    """A BEIR folder; a text has as many words of one token as its document has patches, or one."""
    (folder / "qrels").mkdir(parents=True)
    words = ("sea", "red", "cat", "sun", "ice", "map", "oil", "key")
    random = np.random.default_rng(0)

    def text(count: int) -> str:
        return " ".join(words[at] for at in random.integers(0, len(words), count if texts else 1))

    rows = [json.dumps({"_id": f"d{at}", "title": "", "text": text(int(count))}) for at, count in enumerate(counts)]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    asked = [json.dumps({"_id": f"q{at}", "text": text(TOKENS)}) for at in range(QUERIES)]
    (folder / "queries.jsonl").write_text("\n".join(asked))
    (folder / "qrels" / "test.tsv").write_text("\n".join(f"q{at}\td{at}\t1" for at in range(QUERIES)))


def vectors(folder: Path, counts: np.ndarray) -> None:
    """Random directions, in files of at most 10,000 items."""
    folder.mkdir()
    random = np.random.default_rng(1)
    for role, letter, held in (("documents", "d", counts), ("queries", "q", np.full(QUERIES, TOKENS))):
        for number, start in enumerate(range(0, len(held), 10_000)):
            mine = held[start : start + 10_000]
            drawn = random.standard_normal((int(mine.sum()), DIMS), np.float32)
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            ids = [f"{letter}{start + at}" for at in range(len(mine))]
            save_file(
                {"vectors": drawn.astype(np.float16), "counts": mine.astype(np.int32)},
                folder / f"{role}-{number:05d}.safetensors",
                {"ids": json.dumps(ids)},
            )
