"""Sound runs of every command on random tiny datasets: each is made, and reported in every format."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import harness
from fuzzing.judging import TARGETS, Place, Target, lay
from fuzzing.mutating import Files
from fuzzing.targets.runs import console
from harness.errors import HarnessError

POOLS = ["maxsim", "topk:2", "mean", "softmax:0.1", "logsumexp:1.0"]
MEASURES = ["nDCG@1", "R@1", "AP", "RR", "Success@1", "nDCG"]
QUICK = ["md", "csv", "latex", "mteb", "ranx", "html"]
DRAWN = ["svg", "png"]
COMMANDS = ["eval", "stress", "gradients", "compare", "synth"]


def some(random: np.random.Generator, of: list, most: int | None = None) -> list:
    """At least one of them, in any order."""
    return [of[at] for at in random.permutation(len(of))[: random.integers(1, (most or len(of)) + 1)]]


def vectors(random: np.random.Generator, sizes: np.ndarray, kind: str) -> np.ndarray:
    """float16 (patches, 3): all the same, only few different ones, nothing but zeros, or any."""
    total = int(sizes.sum())
    made = random.standard_normal((total, 3))
    if kind == "same":
        made[:] = made[0]
    elif kind == "few":
        made = np.sign(made)
    elif kind == "zero":
        made[:] = 0.0
    return made.astype(np.float16)


def dataset(random: np.random.Generator, folder: Path) -> dict[str, Any]:
    """A corpus of a few documents and its vectors; returns the options that name both."""
    documents, queries = int(random.integers(2, 9)), int(random.choice([1, 2, 5, 13]))
    corpus = [{"_id": f"d{at}", "text": f"word {at} of a few"} for at in range(documents)]
    asked = [{"_id": f"q{at}", "text": f"which {at} is it"} for at in range(queries)]
    judged = [
        (f"q{at}", f"d{document}", grade)
        for at in range(queries)
        for document, grade in zip(some(random, list(range(documents)), 3), (1, 2, 0), strict=False)
    ]
    (folder / "data" / "qrels").mkdir(parents=True)
    (folder / "vectors").mkdir()
    for name, rows in (("corpus", corpus), ("queries", asked)):
        (folder / "data" / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, one)) for one in judged)]
    (folder / "data" / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    for name, rows in (("documents", corpus), ("queries", asked)):
        sizes = random.integers(1, 10, len(rows))
        kind = random.choice(["any", "any", "few", "same", "zero"])
        np.savez(
            folder / "vectors" / f"{name}.npz",
            vectors=vectors(random, sizes, str(kind)),
            counts=sizes,
            ids=np.array([row["_id"] for row in rows], dtype=str),
        )
    return {"dataset": str(folder / "data"), "checkpoint": f"embeddings:{folder / 'vectors'}"}


def run(command: str, random: np.random.Generator, folder: Path) -> Path:
    """A finished run of a command, of a random question on a random dataset."""
    output: dict[str, Any] = {"output": folder / "runs", "pool": some(random, POOLS, 4)}
    lengths = sorted(some(random, [1, 2, 4, 8, 16, 64], 4))
    if command == "synth":
        return harness.synth(
            **output,
            seeds=int(random.integers(1, 4)),
            epochs=1,
            every=1,
            queries=8,
            gallery=4,
            batch=4,
            train_length=some(random, [8, 16]),
            support=4,
            lengths=[8 * length for length in lengths],
            counts=some(random, [0, 2, 5]),
            inject=some(random, ["hard", "spike", "gaussian"]),
        ).path
    question = output | dataset(random, folder)
    if command == "gradients":
        return harness.gradients(**question, lengths=lengths, pairs=int(random.integers(2, 20))).path
    question |= {
        "measures": some(random, MEASURES, 3),
        "depth": int(random.choice([1, 2, 100])),
        "candidates": str(random.choice(["exact", "faiss", "pooled"])),
    }
    attacked = {"counts": some(random, [0, 1, 4]), "inject": some(random, ["hard", "spike", "gaussian"])}
    swept = {"lengths": lengths, "arms": some(random, ["truncate", "pad", "equalize"]), "fill": "gaussian"}
    stress = command == "stress" or (command == "compare" and random.random() < 0.5)
    ask = harness.stress if stress else harness.evaluate
    first = ask(**question, **(attacked if stress else swept)).path
    if command != "compare":
        return first
    question |= {"seed": 1, "pool": [*question["pool"], *(one for one in POOLS if one not in question["pool"])]}
    other = ask(**question, **(attacked if stress else swept)).path
    return harness.compare(first, other, output=folder / "runs").path


def reported(path: Path, folder: Path, formats: list[str]) -> None:
    """A run in the terminal and in these formats."""
    from harness.commands.report import ReportConfig, show

    show(harness.report(path), ReportConfig(), console())
    harness.report(path, format=formats, output=folder / "report")


def attempt(place: Place) -> None:
    """The run that a number stands for; a complaint about it is a finding."""
    number = zlib.crc32((place.given / "number").read_bytes())
    random, folder = np.random.default_rng(number), place.output
    command = str(random.choice(COMMANDS, p=[0.35, 0.3, 0.15, 0.15, 0.05]))
    try:
        reported(run(command, random, folder), folder, QUICK if random.random() < 0.9 else [*QUICK, *DRAWN])
    except HarnessError as error:
        raise AssertionError(f"a sound run is refused: {error}") from error


def sound(place: Place) -> list[Files]:
    from harness.commands import provenance

    provenance.git_revision = lambda: None  # which starts a program
    for command, seed in itertools.product(("eval", "stress"), range(8)):  # compiled code is loaded by its own pickles
        lay({}, place)
        run(command, np.random.default_rng(seed), place.output)
    return [{"number": b"0123456789"}]


TARGETS.register("sound-runs")(Target(sound, attempt, listed=True))
