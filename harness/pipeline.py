"""The commands, end to end: the only file that knows all rooms."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness import candidates, corpora, degradation, encoders, lengths, metrics, store
from harness.aggregators import AGGREGATORS
from harness.config import EvalConfig, resolve
from harness.engines import ENGINES
from harness.engines.local import cores
from harness.errors import OptionError
from harness.files import cache_folder, digest
from harness.progress import Stages
from harness.records import Candidates, Dataset, Manifest, MultiVectors
from harness.runs import RunDirectory, slug
from harness.scoring.sweep import sweep

PACKAGES = ("harness", "torch", "transformers", "numpy", "numba", "faiss-cpu", "faiss-gpu-cu12", "ir-measures", "bm25s")


@dataclass(frozen=True)
class Evaluation:
    """What ``harness eval`` wrote, as data frames with the files' own columns, and where."""

    path: Path
    summary: pd.DataFrame
    per_query: pd.DataFrame
    tests: pd.DataFrame
    manifest: Manifest


@dataclass
class Inputs:
    """What a question comes down to before anything is scored."""

    dataset: Dataset
    documents: MultiVectors
    queries: MultiVectors
    candidates: Candidates
    device: str
    notes: list[str] = field(default_factory=list)


def evaluate(
    *,
    device: str = "auto",
    engine: str = "local",
    output: str | Path = "runs",
    resume: bool = False,
    progress: bool = False,
    **question: Any,
) -> Evaluation:
    """Sweep lengths under every pool and arm; write a run directory and return its tables.

    question: the options of ``harness eval`` (see ``harness.config.DEFAULTS``), lists as lists or comma-separated text.
    Raises HarnessError with every mistake found.
    """
    config = resolve(**question)
    stages = Stages(progress)
    inputs = prepare(config, pick_device(device), stages)
    prints = {
        "dataset": inputs.dataset.fingerprint,
        "documents": inputs.documents.fingerprint,
        "queries": inputs.queries.fingerprint,
    }
    name = f"eval-{slug(config.dataset)}-{slug(config.checkpoint)}-{digest(config.plain(), prints)[:8]}"
    run = RunDirectory(Path(output) / name)
    if run.finished and resume:
        return read_evaluation(run)
    keep = resume or not run.finished
    run.restart()
    run.write_config("eval", config.plain())
    cells = list(score(config, inputs, run, ENGINES[engine](), keep, stages))
    with stages("measure"):
        per_query = measure(config, inputs, run)
        summary = degradation.summarise(per_query, np.random.default_rng(config.seed))
        tests = degradation.compare(per_query, list(config.pool))
    run.write_table("per_query.parquet", per_query)
    run.write_table("summary.csv", summary)
    run.write_table("tests.csv", tests)
    manifest = Manifest(
        command="eval",
        config=config.plain(),
        seeds={"seed": config.seed},
        git_revision=git_revision(),
        versions=versions(),
        fingerprints=prints,
        seconds=stages.seconds,
        host={**host(), "device": inputs.device, "engine": engine},
        candidates={
            "source": inputs.candidates.source,
            "depth": config.depth if inputs.candidates.ranked else len(inputs.documents),
            "recall": inputs.candidates.recall,
        },
        cells=cells,
        notes=inputs.notes,
    )
    run.write_manifest(manifest)
    return Evaluation(run.path, summary, per_query, tests, manifest)


def read_evaluation(run: RunDirectory) -> Evaluation:
    """A finished eval run, from disk."""
    summary, per_query, tests = map(run.read_table, ("summary.csv", "per_query.parquet", "tests.csv"))
    return Evaluation(run.path, summary, per_query, tests, run.read_manifest())


def prepare(config: EvalConfig, device: str, stages: Stages) -> Inputs:
    """Dataset, vectors of documents and queries, candidates: each from the cache where it is there."""
    with stages("load dataset"):
        dataset = corpora.load(config.dataset, config.split, config.limit)
    with stages("load checkpoint"):
        encoder = encoders.load(config.checkpoint, config.dtype, device)
    documents = store.fetch(encoder, dataset.documents, "document", stages)
    queries = store.fetch(encoder, dataset.queries, "query", stages)
    search = candidates.Search(dataset, documents, queries, config.depth, config.index, stages, cache_folder())
    found = candidates.find(config.candidates, search)
    counts = documents.counts
    notes = [*dataset.notes, f"vectors computed in {config.dtype}, stored in float16, scored in float32"]
    notes.append(f"documents have {counts.min():,} to {counts.max():,} patches, {counts.mean():.0f} on average")
    return Inputs(dataset, documents, queries, found, device, notes)


def score(
    config: EvalConfig, inputs: Inputs, run: RunDirectory, engine, keep: bool, stages: Stages
) -> Iterator[dict[str, Any]]:
    """Write every cell's ranking that is not there yet; yield each cell with its real patch counts."""
    found = inputs.candidates
    if found.ranked:
        run.write_ranking(run.ranking("candidates", config.candidates, None), found.run())
    scored = np.unique(found.rows[found.rows >= 0])
    for name in config.arms:
        arm = lengths.make_arm(name, config.lengths, config.evidence, config.fill, config.seed)
        missing = [
            pool
            for pool in config.pool
            if not keep or not all(run.ranking(name, pool, length).exists() for length in config.lengths)
        ]
        if missing:
            made = [AGGREGATORS.make(pool) for pool in missing]
            with stages(f"score {name}", len(scored), "documents") as advance:
                scores = sweep(inputs.documents, inputs.queries, found, arm, config.lengths, made, engine, advance)
            with stages("write rankings"):
                for pool in missing:
                    for length in config.lengths:
                        run.write_ranking(run.ranking(name, pool, length), scores.run(pool, length, config.depth))
        patches = lengths.streams(inputs.documents, arm, config.lengths).summary(scored)
        for length, counted in zip(config.lengths, patches, strict=True):
            yield {"arm": name, "evidence": arm.evidence, "fill": arm.fill, "length": length, **counted}


def measure(config: EvalConfig, inputs: Inputs, run: RunDirectory) -> pd.DataFrame:
    """Per-query values of every cell and of the candidates' own ranking, from the rankings on disk."""
    cells: list[tuple[str, str, int | None]] = [
        (arm, pool, length) for arm in config.arms for pool in config.pool for length in config.lengths
    ]
    if inputs.candidates.ranked:
        cells.append(("candidates", config.candidates, None))
    tables = []
    for arm, pool, length in cells:
        ranking = run.read_ranking(run.ranking(arm, pool, length))
        table = metrics.per_query(config.measures, inputs.dataset.qrels, ranking)
        table.insert(0, "dataset", slug(config.dataset))
        table.insert(1, "checkpoint", slug(config.checkpoint))
        table.insert(2, "arm", arm)
        table.insert(3, "pool", pool)
        table.insert(4, "length", pd.array([length] * len(table), dtype="Int64"))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def pick_device(asked: str) -> str:
    """``auto`` is CUDA where there is one. Raises OptionError if the device asked for is not there."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cpu" or (asked.startswith("cuda") and torch.cuda.is_available()):
        return asked
    raise OptionError(f"device {asked!r} is not on this machine; give --device cpu or leave it out")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def host() -> dict[str, Any]:
    return {"machine": platform.machine(), "system": platform.platform(), "cores": cores()}


def git_revision() -> str | None:
    """The revision of the checkout that is running, with a plus if it was changed; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("+" if changed.stdout else "")
