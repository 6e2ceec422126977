"""``harness eval``: sweep lengths under every pool and arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness import degradation, lengths, metrics
from harness.aggregators import AGGREGATORS
from harness.config import EvalConfig, resolve
from harness.engines import ENGINES
from harness.pipeline.inputs import Inputs, about, directory, find_candidates, manifest, prepare
from harness.progress import Stages
from harness.records import Candidates, Manifest
from harness.runs import RunDirectory, slug
from harness.scoring.sweep import Map, sweep


@dataclass(frozen=True)
class Evaluation:
    """What ``harness eval`` wrote, as data frames with the files' own columns, and where."""

    path: Path
    summary: pd.DataFrame
    per_query: pd.DataFrame
    tests: pd.DataFrame
    manifest: Manifest


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

    question: the options of ``harness eval`` (see ``harness.config.EvalConfig``), lists as lists or text with commas.
    Raises HarnessError with every mistake found.
    """
    config = resolve(EvalConfig, **question)
    work, stages = ENGINES[engine](), Stages(progress)
    inputs = prepare(config, device, stages)
    found = find_candidates(config, inputs, stages)
    run = directory(config, inputs, output)
    if run.finished and resume:
        return read_evaluation(run)
    keep = resume or not run.finished
    run.restart()
    run.write_config(config.command, config.plain())
    cells = list(score(config, inputs, found, run, work, keep, stages))
    with stages("measure"):
        per_query = measure(config, inputs, found, run)
        summary = degradation.summarise(per_query, np.random.default_rng(config.seed))
        tests = degradation.compare(per_query, list(config.pool))
    run.write_table("per_query.parquet", per_query)
    run.write_table("summary.csv", summary)
    run.write_table("tests.csv", tests)
    done = manifest(config, inputs, stages, engine, candidates=about(config, inputs, found), cells=cells)
    run.write_manifest(done)
    return Evaluation(run.path, summary, per_query, tests, done)


def read_evaluation(run: RunDirectory) -> Evaluation:
    """A finished eval run, from disk."""
    summary, per_query, tests = map(run.read_table, ("summary.csv", "per_query.parquet", "tests.csv"))
    return Evaluation(run.path, summary, per_query, tests, run.read_manifest())


def score(
    config: EvalConfig, inputs: Inputs, found: Candidates, run: RunDirectory, engine: Map, keep: bool, stages: Stages
) -> Iterator[dict[str, Any]]:
    """Write every cell's ranking that is not there yet; yield each cell with its real patch counts."""
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


def measure(config: EvalConfig, inputs: Inputs, found: Candidates, run: RunDirectory) -> pd.DataFrame:
    """Per-query values of every cell and of the candidates' own ranking, from the rankings on disk."""
    cells: list[tuple[str, str, int | None]] = [
        (arm, pool, length) for arm in config.arms for pool in config.pool for length in config.lengths
    ]
    if found.ranked:
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
