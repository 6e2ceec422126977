"""``harness eval``: sweep lengths under every pool and arm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.aggregators import AGGREGATORS
from harness.commands.prepare import Inputs, about, begin, directory, find_candidates, manifest, prepare
from harness.commands.provenance import alone, start
from harness.config import EvalConfig
from harness.engines.base import Map
from harness.engines.kept import Kept
from harness.progress import Stages
from harness.records import Arm, Candidates, ScoredDoc
from harness.reports.texts import texts
from harness.runs import Result, RunDirectory, slug
from harness.scoring import padded
from harness.scoring.sweep import sweep
from harness.statistics import measures, tables
from harness.vectors import lengths


def evaluate(
    *,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    output: str | Path = "runs",
    resume: bool = False,
    force: bool = False,
    progress: bool = False,
    trust_remote_code: bool = False,
    strict: bool = False,
    **question: Any,
) -> Result:
    """Sweep lengths under every pool and arm; write a run directory and return its tables.

    question: the options of ``harness eval`` (see ``harness.config.EvalConfig``), lists as lists or text with commas.
    A finished run is shown again, and a line on standard error says so; resume: without the line where the same program
    answered; force: answered anew. Raises HarnessError with every mistake found.
    """
    config, device, work = begin(EvalConfig, question, device, engine, output, address)
    stages = Stages(progress)
    inputs = prepare(config, device, stages, work, trust_remote_code, strict)
    found = find_candidates(config, inputs, stages, work)
    run = directory(config, inputs, output)
    with alone(run, resume, force) as mine:
        return answer(config, inputs, found, run, work, engine, stages) if mine else run.result()


def answer(
    config: EvalConfig, inputs: Inputs, found: Candidates, run: RunDirectory, work: Map, engine: str, stages: Stages
) -> Result:
    """Score, measure and write the run."""
    start(run, config)
    measured = [measure(config, inputs, *cell) for cell in cells(config, inputs, found, run, work, stages)]
    counts = list(patch_counts(config, inputs, found))
    with stages("compare"):
        per_query = pd.concat(measured, ignore_index=True)
        summary = tables.summarise(per_query, np.random.default_rng(config.seed))
        tests = tables.compare(per_query, list(config.pool), tables.reached(counts))
    run.write_table("texts.parquet", texts(inputs.dataset))
    notes = [*found.notes, *padded.notes(inputs.accelerator)]
    done = manifest(config, inputs, stages, engine, notes, candidates=about(config, inputs, found), cells=counts)
    return run.finish(summary, per_query, tests, done)


def cells(
    config: EvalConfig, inputs: Inputs, found: Candidates, run: RunDirectory, engine: Map, stages: Stages
) -> Iterator[tuple[str, str, int | None, list[ScoredDoc]]]:
    """(arm, pool, length, ranking) of every cell, the candidates' own last; what is not there yet is written."""
    for name in config.arms:
        paths = {(pool, length): run.ranking(name, pool, length) for pool in config.pool for length in config.lengths}
        missing = not all(run.has_ranking(path) for path in paths.values())
        if missing:
            wanted = len(np.unique(found.rows[found.rows >= 0]))
            made = [AGGREGATORS.make(pool) for pool in config.pool]
            with stages(f"score {name}", wanted, "documents") as advance:
                arm, kept = arm_of(config, name), Kept(engine, run.part(name))
                scores = sweep(inputs.documents, inputs.queries, found, arm, config.lengths, made, kept, advance,
                               inputs.accelerator)  # fmt: skip
        with stages("rank and measure", len(paths), "cells") as advance:
            for (pool, length), path in paths.items():
                if missing:
                    ranking = list(scores.run(pool, length, config.depth))
                    run.write_ranking(path, ranking)
                else:
                    ranking = list(run.read_ranking(path))
                yield name, pool, length, ranking
                advance()
    if found.ranked:
        ranking = list(found.run())
        run.write_ranking(run.ranking("candidates", config.candidates, None), ranking)
        yield "candidates", config.candidates, None, ranking


def arm_of(config: EvalConfig, name: str) -> Arm:
    return lengths.make_arm(name, config.lengths, config.evidence, config.fill, config.seed)


def patch_counts(config: EvalConfig, inputs: Inputs, found: Candidates) -> Iterator[dict[str, Any]]:
    """The real patch counts of every arm and length over the documents that were scored, for the manifest."""
    scored = np.unique(found.rows[found.rows >= 0])
    for name in config.arms:
        arm = arm_of(config, name)
        counted = lengths.streams(inputs.documents, arm, config.lengths).summary(scored)
        for length, patches in zip(config.lengths, counted, strict=True):
            yield {"arm": name, "evidence": arm.evidence, "fill": arm.fill, "length": length, **patches}


def measure(
    config: EvalConfig, inputs: Inputs, arm: str, pool: str, length: int | None, ranking: list[ScoredDoc]
) -> pd.DataFrame:
    """Per-query values of one cell, under the keys of the run's tables."""
    table = measures.per_query(config.measures, inputs.dataset.qrels, ranking)
    keys = [slug(config.dataset), slug(config.checkpoint), arm, pool]
    for at, (column, key) in enumerate(zip(["dataset", "checkpoint", "arm", "pool"], keys, strict=True)):
        table.insert(at, column, key)
    table.insert(4, "length", pd.Series(length, index=table.index, dtype="Int64"))
    return table
