"""Files whose lines are shuffled: a corpus is refused both times, or no byte of a run's tables changes."""

from __future__ import annotations

import functools
import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

import harness
from fuzzing.judging import TARGETS, Place, Target, lay
from fuzzing.mutating import Files
from harness.commands import provenance
from harness.errors import DataError, HarnessError

ASKED: dict[str, list[Any]] = {
    "eval": [
        {"candidates": source, "arms": arms, "fill": fill, "lengths": lengths, "depth": depth, "pool": "maxsim,topk:2"}
        for source in ("faiss", "pooled", "bm25", "exact")
        for arms, fill in (("truncate,pad", "distractor"), ("equalize", "gaussian"))
        for lengths, depth in (("2,5", 3), ("1,3", 50))
    ],
    "stress": [{"candidates": "pooled", "inject": "hard", "counts": "0,2", "depth": 4, "pool": "maxsim,mean"}],
    "gradients": [{"pairs": 5, "lengths": "1,4", "pool": "maxsim,mean"}],
}
COMMANDS = {"eval": harness.evaluate, "stress": harness.stress, "gradients": harness.gradients}


def world(seed: int, documents: int = 12, queries: int = 6) -> Files:
    """A BEIR folder beside a folder of vectors, few words and fewer directions: most scores tie."""
    draw, numbers = random.Random(seed), np.random.default_rng(seed)
    words = ["tide", "moon", "dock"]
    ids = draw.sample([f"{kind}{number}" for kind in ("", "d", "D-", "é") for number in range(1, 120)], documents)
    asked = draw.sample(range(1, 99), queries)
    texts = {one: " ".join(draw.choices(words, k=draw.randint(1, 3))) for one in ids}
    corpus = "".join(json.dumps({"_id": one, "text": text}) + "\n" for one, text in texts.items())
    lines = "".join(json.dumps({"_id": f"q{at}", "text": draw.choice(words)}) + "\n" for at in asked)
    judged = "".join(
        f"q{query}\t{one}\t{draw.choice([0, 1, 1, 2])}\n" for query in asked for one in draw.sample(ids, 3)
    )
    files: Files = {
        "corpus.jsonl": corpus.encode(),
        "queries.jsonl": lines.encode(),
        "qrels/test.tsv": b"query-id\tcorpus-id\tscore\n" + judged.encode(),
    }
    for role, names in (("documents", ids), ("queries", [f"q{at}" for at in asked])):
        counts = numbers.integers(1, 5, len(names))
        vectors = np.eye(4, dtype=np.float16)[numbers.integers(0, 3, int(counts.sum()))]
        if seed % 2:
            vectors = (vectors + numbers.integers(0, 2, vectors.shape) * np.float16(0.5)).astype(np.float16)
        tables = {"vectors": vectors, "counts": counts.astype(np.int64)}
        files[f"vectors/{role}.safetensors"] = save(tables, {"ids": json.dumps(names)})
    return files


def shuffled(given: Path, other: Path, draw: random.Random) -> None:
    """A copy of the folder whose files hold the same lines, and items, in another order."""
    shutil.copytree(given, other, symlinks=True)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        head, lines = [], [line + b"\n" for line in (other / name).read_bytes().split(b"\n") if line]
        if name == "qrels/test.tsv" and lines:
            head, lines = lines[:1], lines[1:]
        draw.shuffle(lines)
        (other / name).write_bytes(b"".join(head + lines))
    for role in ("documents", "queries"):
        _shuffled(other / "vectors" / f"{role}.safetensors", draw)


def _shuffled(path: Path, draw: random.Random) -> None:
    """The items of a file of vectors in another order, and in two files."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        ids = json.loads(file.metadata()["ids"])
    held = load_file(path)
    ends = np.cumsum(held["counts"])
    parts = [held["vectors"][end - count : end] for end, count in zip(ends, held["counts"], strict=True)]
    order = draw.sample(range(len(ids)), len(ids))
    path.unlink()
    for number, some in enumerate((order[: len(order) // 2], order[len(order) // 2 :])):
        if some:
            tables = {"vectors": np.concatenate([parts[at] for at in some]), "counts": held["counts"][some]}
            content = save(tables, {"ids": json.dumps([ids[at] for at in some])})
            path.with_name(f"{path.stem}-{number}.safetensors").write_bytes(content)


def tables(command: str, question: dict[str, Any], folder: Path, output: Path) -> dict[str, bytes] | None:
    """The bytes of a run's tables; None where it is refused."""
    asked = {"dataset": str(folder), "checkpoint": f"embeddings:{folder / 'vectors'}", "output": output, **question}
    asked |= {} if command == "gradients" else {"measures": "nDCG@3,R@1,RR@2"}
    try:
        path = COMMANDS[command](**asked).path
    except HarnessError:
        return None
    return {name: (path / name).read_bytes() for name in ("summary.csv", "tests.csv")}


def attempt(place: Place) -> None:
    """One question, asked of the files and of the same files shuffled. Raises HarnessError where both are refused."""
    content = b"".join(path.read_bytes() for path in sorted(place.given.rglob("*")) if path.is_file())
    draw = random.Random(hashlib.sha256(content).digest())
    command = draw.choice(sorted(ASKED))
    question = draw.choice(ASKED[command])
    other = place.root / "temporary" / place.given.name  # the name is in the tables
    try:
        shuffled(place.given, other, draw)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        raise DataError("these files cannot be shuffled line by line") from None
    given, shown = (
        tables(command, question, place.given, place.output / "given"),
        tables(command, question, other, place.output / "shuffled"),
    )
    if given is None and shown is None:
        raise DataError("refused in both orders")
    assert given == shown, f"{command} {question}: the order of lines decides"


@functools.cache
def worlds(place: Place) -> list[Files]:
    provenance.git_revision = lambda: None  # which starts a program
    made = [world(seed) for seed in range(24)]
    lay(made[0], place)
    for command, question in ((command, one) for command, some in ASKED.items() for one in some):
        tables(command, question, place.given, place.output)  # compiled code is loaded by pickles of its own
    return made


TARGETS.register("orders")(Target(worlds, attempt, listed=True))
