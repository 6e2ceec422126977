"""``harness eval``: sweep lengths under every pool and arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness import readers
from harness.aggregators import AGGREGATORS
from harness.candidates import short
from harness.commands.context import RunContext
from harness.commands.prepare import Inputs, described, find_candidates, folder, prepare
from harness.commands.printed import show as show
from harness.commands.questions import Distributed, Encoding, Reranking, Resumable, arms, fill, lengths
from harness.engines.kept import Kept
from harness.options import option
from harness.records import Arm, Candidates, Result, ScoredDoc, SweepScores
from harness.reports.texts import texts
from harness.runs import RunDirectory, slug
from harness.scoring import devices
from harness.scoring.sweep import sweep
from harness.statistics import measures, tables
from harness.vectors.arms import make_arm
from harness.vectors.streams import streams

Cell = tuple[str, str, int | None, list[ScoredDoc]]
"""Arm, pool, length (None: the candidates' own ranking), and the cell's ranking."""


@dataclass(frozen=True)
class Sweep(Reranking, Distributed, Encoding):
    """What is asked of a sweep over lengths, of one checkpoint or of several."""

    lengths: tuple[int, ...] = lengths()
    arms: tuple[str, ...] = arms()
    evidence: int | None = option(None, readers.whole(1), "Own patches that the arm pad keeps.", "the shortest length")
    fill: str = fill()


@dataclass(frozen=True)
class EvalConfig(Sweep, Resumable):
    """``harness eval``."""

    command = "eval"


CONFIG = EvalConfig


def run(config: EvalConfig, context: RunContext) -> Result:
    """Sweep document lengths: nDCG and recall by length for each pool, with intervals and paired tests."""
    inputs = prepare(config, context)
    candidates = find_candidates(config, inputs, context)
    directory = folder(config, inputs, context)
    with context.claim(config, directory) as new:
        return compute(config, context, inputs, candidates, directory) if new else directory.result()


def compute(
    config: EvalConfig, context: RunContext, inputs: Inputs, candidates: Candidates, run: RunDirectory
) -> Result:
    """Score, measure and write the run."""
    context.start(run, config)
    measured = [measure(config, inputs, *cell) for cell in cells(config, context, inputs, candidates, run)]
    counts = list(patch_counts(config, inputs, candidates))
    with context.stages("compare"):
        per_query = pd.concat(measured, ignore_index=True)
        summary = tables.summarise(per_query, np.random.default_rng(config.seed))
        tests = tables.compare(per_query, list(config.pool), tables.reached(counts))
    run.write_table("texts.parquet", texts(inputs.dataset))
    notes = [*inputs.notes, *candidates.notes, *devices.notes(context.accelerator)]
    done = context.manifest(
        config,
        config.seed,
        inputs.fingerprints,
        notes,
        inputs.plugins,
        candidates=described(config, inputs, candidates),
        cells=counts,
    )
    return run.finish(summary, per_query, tests, done)


def cells(
    config: EvalConfig, context: RunContext, inputs: Inputs, candidates: Candidates, run: RunDirectory
) -> Iterator[Cell]:
    """Every cell, the candidates' own ranking last; what is not there yet is written."""
    for name in config.arms:
        paths = {(pool, length): run.ranking(name, pool, length) for pool in config.pool for length in config.lengths}
        missing = not all(run.has_ranking(path) for path in paths.values())
        if missing:
            scores = score(config, context, inputs, candidates, name, run)
        with context.stages("rank and measure", len(paths), "cells") as advance:
            for (pool, length), path in paths.items():
                if missing:
                    ranking = list(scores.run(pool, length, config.depth))
                    run.write_ranking(path, ranking)
                else:
                    ranking = list(run.read_ranking(path))
                yield name, pool, length, ranking
                advance()
    if candidates.ranked:
        ranking, source = list(candidates.run()), short(config.candidates)
        run.write_ranking(run.ranking("candidates", source, None), ranking)
        yield "candidates", source, None, ranking


def score(
    config: EvalConfig, context: RunContext, inputs: Inputs, candidates: Candidates, name: str, run: RunDirectory
) -> SweepScores:
    """Scores of one arm's cells."""
    wanted = len(np.unique(candidates.rows[candidates.rows >= 0]))
    pools = [AGGREGATORS.make(pool) for pool in config.pool]
    with context.stages(f"score {name}", wanted, "documents") as advance:
        engine = Kept(context.engine, run.part(name))
        return sweep(
            inputs.documents,
            inputs.queries,
            candidates,
            arm_of(config, name),
            config.lengths,
            pools,
            engine,
            advance,
            context.accelerator,
        )


def arm_of(config: EvalConfig, name: str) -> Arm:

    return make_arm(name, config.lengths, config.evidence, config.fill, config.seed)


def patch_counts(config: EvalConfig, inputs: Inputs, candidates: Candidates) -> Iterator[dict[str, Any]]:
    """The real patch counts of every arm and length over the documents that were scored, for the manifest."""
    scored = np.unique(candidates.rows[candidates.rows >= 0])
    for name in config.arms:
        arm = arm_of(config, name)
        counted = streams(inputs.documents, arm, config.lengths).summary(scored)
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
