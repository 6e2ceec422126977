"""``harness stress``: patches injected into the candidates that are not relevant, and what each pool keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.aggregators import AGGREGATORS
from harness.commands.alignment import align, check, most_hurt
from harness.commands.alignment import explain as explain_query
from harness.commands.prepare import Inputs, about, begin, directory, find_candidates, manifest, prepare
from harness.commands.provenance import alone, start
from harness.config import StressConfig
from harness.engines.base import Map
from harness.engines.kept import Kept
from harness.progress import Stages
from harness.records import Arm, Candidates, rank
from harness.reports.texts import texts
from harness.runs import Result, RunDirectory, slug
from harness.scoring import padded
from harness.scoring.injected import AttackScores, attack
from harness.scoring.sweep import sweep
from harness.statistics import measures, tables
from harness.vectors.injection import Injection


def stress(
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
    explain: str | None = None,
    **question: Any,
) -> Result:
    """Inject patches into non-relevant candidates at every count; write a run directory and return its tables.

    question: the options of ``harness stress`` (see ``harness.config``); explain: a query's id, whose token-level table
    and chart are written too. Raises HarnessError."""
    config, device, work = begin(StressConfig, question, device, engine, output, address)
    config = replace(config, counts=tuple(sorted({0, *config.counts})))  # losses are against no injection
    stages = Stages(progress)
    inputs = prepare(config, device, stages, work, trust_remote_code, strict)
    check(explain, inputs)
    found = find_candidates(config, inputs, stages, work)
    run = directory(config, inputs, output)
    gold, others, added = split_gold(found, inputs)
    explained = explain_query(explain, config, inputs, others) if explain else None
    with alone(run, resume, force) as mine:
        if mine:
            start(run, config)
        write_explained(explained, run)
        done = answer(config, inputs, found, (gold, others, added), run, work, engine, stages) if mine else run.result()
    return replace(done, explained=explained)


def answer(
    config: StressConfig, inputs: Inputs, found: Candidates, split: tuple[Candidates, Candidates, int],
    run: RunDirectory, work: Map, engine: str, stages: Stages,
) -> Result:  # fmt: skip
    """Attack, measure and write the run. split: as split_gold gives it."""
    gold, others, added = split
    notes = list(found.notes)
    if added:
        notes.append(f"{added:,} relevant documents outside the candidates were added for this experiment")
    per_query = pd.concat(score(config, inputs, gold, others, run, work, stages), ignore_index=True)
    summary = tables.summarise_stress(per_query, np.random.default_rng(config.seed))
    tests = tables.compare_losses(per_query, list(config.pool))
    if silent := [pool for pool in config.pool if summary.loc[summary["pool"] == pool, "hijack_rate"].isna().any()]:
        notes.append(f"{', '.join(silent)} cannot tell which part of a selection is injected: no hijack rate")
    write_shown(config, inputs, others, per_query, run, stages)
    done = manifest(config, inputs, stages, engine, notes + padded.notes(inputs.accelerator),
                    candidates=about(config, inputs, found))  # fmt: skip
    return run.finish(summary, per_query, tests, done)


def write_shown(
    config: StressConfig, inputs: Inputs, others: Candidates, per_query: pd.DataFrame, run: RunDirectory, stages: Stages
) -> None:
    """What reports show of single queries: ``texts.parquet`` and ``alignment.parquet``."""
    run.write_table("texts.parquet", texts(inputs.dataset))
    hurt = most_hurt(per_query)
    with stages("align tokens", len(hurt), "queries") as advance:
        run.write_table("alignment.parquet", align(config, inputs, others, hurt, advance))


def write_explained(table: pd.DataFrame | None, run: RunDirectory) -> None:
    """``explain-QUERY.csv`` and, drawn from it, ``explain-QUERY.svg``."""
    if table is not None:
        from harness.reports import charts  # altair takes a second to import

        name = f"explain-{slug(table['query_id'].iloc[0])}"
        run.write_table(f"{name}.csv", table)
        charts.save(charts.alignment(table), run.path / f"{name}.svg")


def split_gold(found: Candidates, inputs: Inputs) -> tuple[Candidates, Candidates, int]:
    """Every relevant document as one set of candidates, the others among the candidates as another.

    The third value counts the relevant documents that were no candidates.
    """
    document_rows = {name: row for row, name in enumerate(inputs.documents.ids)}
    relevant = inputs.dataset.relevant
    wanted = [[document_rows[document] for document in relevant[name] if document in document_rows]
              for name in found.query_ids]  # fmt: skip
    rows = np.full((len(wanted), max(1, *map(len, wanted))), -1, np.int64)
    for query, mine in enumerate(wanted):
        rows[query, : len(mine)] = mine
    is_gold = np.stack([np.isin(candidates, mine) for candidates, mine in zip(found.rows, wanted, strict=True)])
    others = replace(found, rows=np.where(is_gold, -1, found.rows))
    return replace(found, rows=rows), others, sum(map(len, wanted)) - int(is_gold.sum())


def score(
    config: StressConfig, inputs: Inputs, gold: Candidates, others: Candidates, run: RunDirectory, engine: Map,
    stages: Stages,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Rankings of every cell, written; per-query values of every cell, yielded."""
    made = [AGGREGATORS.make(pool) for pool in config.pool]
    longest = [int(inputs.documents.counts.max())]
    with stages("score relevant", len(np.unique(gold.rows[gold.rows >= 0])), "documents") as advance:
        whole, kept = Arm("truncate", None, None, config.seed), Kept(engine, run.part("relevant"))
        clean = sweep(inputs.documents, inputs.queries, gold, whole, longest, made, kept, advance,
                      inputs.accelerator).values[:, 0]  # fmt: skip
    for kind in config.inject:
        injection = Injection(kind, config.counts, config.cosine, config.tokens, config.seed)
        with stages(f"inject {kind}", len(np.unique(others.rows[others.rows >= 0])), "documents") as advance:
            kept = Kept(engine, run.part(kind))
            scores = attack(inputs.documents, inputs.queries, others, injection, made, kept, advance,
                            inputs.accelerator)  # fmt: skip
        with stages("measure"):
            yield from measure(config, inputs, gold, clean, kind, scores, run)


def measure(
    config: StressConfig, inputs: Inputs, gold: Candidates, clean: np.ndarray, kind: str, scores: AttackScores,
    run: RunDirectory,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """Measures and the hijack rate by query, of every pool and count of one kind of injection."""
    rows = np.concatenate([gold.rows, scores.candidates.rows], axis=1)
    for (a, pool), (k, count) in itertools.product(enumerate(config.pool), enumerate(config.counts)):
        values = np.concatenate([clean[a], scores.values[a, k]], axis=1)
        ranking = list(rank(gold, rows, values, config.depth))
        run.write_ranking(run.path / "rankings" / kind / pool / f"K{count}.trec.gz", ranking)
        table = measures.per_query(config.measures, inputs.dataset.qrels, ranking)
        hijacked = pd.DataFrame({"measure": tables.HIJACK, "query_id": gold.query_ids,
                                 "value": mean_of_real(scores.hijacked[a, k])})  # fmt: skip
        table = pd.concat([table, hijacked], ignore_index=True)
        names: list[str | int] = [slug(config.dataset), slug(config.checkpoint), kind, count, pool]
        for at, (column, value) in enumerate(zip(tables.STRESS_KEYS[:5], names, strict=True)):
            table.insert(at, column, value)
        yield table


def mean_of_real(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is: (Q, C) → (Q)."""
    real = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(real, values, 0.0).sum(-1, dtype=np.float64) / real.sum(-1)
