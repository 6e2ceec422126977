"""``harness stress``: patches injected into the candidates that are not relevant, and what each pool keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from rich.console import Console

from harness import readers
from harness.aggregators import AGGREGATORS
from harness.commands import alignment, printed
from harness.commands.context import RunContext
from harness.commands.prepare import Inputs, described, find_candidates, folder, prepare
from harness.commands.questions import Distributed, Encoding, Reranking, Resumable, cosine, counts, inject
from harness.engines.kept import Kept
from harness.options import option
from harness.records import Arm, Candidates, Result, rank
from harness.reports.formats import terminal
from harness.reports.sections.stress import explained
from harness.reports.texts import texts
from harness.runs import RunDirectory, slug
from harness.scoring import devices
from harness.scoring.attack import AttackScores, attack
from harness.scoring.sweep import sweep
from harness.statistics import measures, tables
from harness.vectors.injections import Injection


@dataclass(frozen=True)
class StressConfig(Reranking, Distributed, Resumable, Encoding):
    """``harness stress``."""

    command = "stress"

    inject: tuple[str, ...] = inject()
    counts: tuple[int, ...] = counts()
    cosine: float = cosine()
    tokens: int = option(4, readers.whole(1), "Query tokens that a spike mixes.")
    explain: str | None = option(
        None, readers.text, "The id of a query whose winning patches are written, before and after.", running=True
    )


CONFIG = StressConfig


@dataclass(frozen=True)
class Split:
    """Candidates by judgment: every relevant document, those that are not, and how many relevant ones were added."""

    relevant: Candidates
    others: Candidates
    added: int


def run(config: StressConfig, context: RunContext) -> Result:
    """Inject patches into candidates that are not relevant: what each pool retains, and how much is hijacked."""
    config = replace(config, counts=tuple(sorted({0, *config.counts})))  # losses are against no injection
    inputs = prepare(config, context)
    alignment.check(config.explain, inputs)
    candidates = find_candidates(config, inputs, context)
    directory = folder(config, inputs, context)
    split = split_by_judgment(candidates, inputs)
    explained = alignment.explain(config.explain, injections(config), inputs, split.others) if config.explain else None
    with context.claim(config, directory) as new:
        if new:
            context.start(directory, config)
        write_explained(explained, directory)
        result = compute(config, context, inputs, candidates, split, directory) if new else directory.result()
    return replace(result, explained=explained)


def compute(
    config: StressConfig, context: RunContext, inputs: Inputs, candidates: Candidates, split: Split, run: RunDirectory
) -> Result:
    """Attack, measure and write the run."""
    notes = [*inputs.notes, *candidates.notes]
    if split.added:
        notes.append(f"{split.added:,} relevant documents outside the candidates were added for this experiment")
    per_query = pd.concat(score(config, context, inputs, split, run), ignore_index=True)
    summary = tables.summarise_stress(per_query, np.random.default_rng(config.seed))
    tests = tables.compare_losses(per_query, list(config.pool))
    if silent := [pool for pool in config.pool if summary.loc[summary["pool"] == pool, "hijack_rate"].isna().any()]:
        notes.append(f"{', '.join(silent)} cannot tell which part of a selection is injected: no hijack rate")
    write_shown(config, context, inputs, split.others, per_query, run)
    notes += devices.notes(context.accelerator)
    done = context.manifest(
        config,
        config.seed,
        inputs.fingerprints,
        notes,
        inputs.plugins,
        candidates=described(config, inputs, candidates),
    )
    return run.finish(summary, per_query, tests, done)


def write_shown(
    config: StressConfig,
    context: RunContext,
    inputs: Inputs,
    others: Candidates,
    per_query: pd.DataFrame,
    run: RunDirectory,
) -> None:
    """What reports show of single queries: ``texts.parquet`` and ``alignment.parquet``."""
    run.write_table("texts.parquet", texts(inputs.dataset))
    hurt = alignment.most_hurt(per_query)
    with context.stages("align tokens", len(hurt), "queries") as advance:
        run.write_table("alignment.parquet", alignment.align(injections(config), inputs, others, hurt, advance))


def write_explained(table: pd.DataFrame | None, run: RunDirectory) -> None:
    """``explain-QUERY.csv`` and, drawn from it, ``explain-QUERY.svg``."""
    if table is not None:
        from harness.reports import charts  # altair takes a second to import

        name = f"explain-{slug(table['query_id'].iloc[0])}"
        run.write_table(f"{name}.csv", table)
        charts.save(charts.alignment(table), run.path / f"{name}.svg")


def split_by_judgment(candidates: Candidates, inputs: Inputs) -> Split:
    """The relevant documents of every query, and the candidates that are not relevant."""
    row_of = {name: row for row, name in enumerate(inputs.documents.ids)}
    relevant = inputs.dataset.relevant
    wanted = [[row_of[one] for one in relevant[name] if one in row_of] for name in candidates.query_ids]
    rows = np.full((len(wanted), max(1, *map(len, wanted))), -1, np.int64)
    for query, documents in enumerate(wanted):
        rows[query, : len(documents)] = documents
    hit = np.stack([np.isin(row, documents) for row, documents in zip(candidates.rows, wanted, strict=True)])
    others = replace(candidates, rows=np.where(hit, -1, candidates.rows))
    return Split(replace(candidates, rows=rows), others, sum(map(len, wanted)) - int(hit.sum()))


def score(
    config: StressConfig, context: RunContext, inputs: Inputs, split: Split, run: RunDirectory
) -> Iterator[pd.DataFrame]:
    """Rankings of every cell, written; per-query values of every cell, yielded."""
    pools, longest = [AGGREGATORS.make(pool) for pool in config.pool], [int(inputs.documents.counts.max())]
    whole = Arm("truncate", None, None, config.seed)
    with context.stages("score relevant", _documents(split.relevant), "documents") as advance:
        engine = Kept(context.engine, run.part("relevant"))
        clean = sweep(
            inputs.documents,
            inputs.queries,
            split.relevant,
            whole,
            longest,
            pools,
            engine,
            advance,
            context.accelerator,
        ).values[:, 0]
    for injection in injections(config):
        with context.stages(f"inject {injection.kind}", _documents(split.others), "documents") as advance:
            engine = Kept(context.engine, run.part(injection.kind))
            scores = attack(
                inputs.documents, inputs.queries, split.others, injection, pools, engine, advance, context.accelerator
            )
        with context.stages("measure"):
            yield from measure(config, inputs, split.relevant, clean, injection.kind, scores, run)


def injections(config: StressConfig) -> list[Injection]:
    """Every kind of injection that is asked for."""
    return [Injection(kind, config.counts, config.cosine, config.tokens, config.seed) for kind in config.inject]


def _documents(candidates: Candidates) -> int:
    """How many documents are a candidate of some query."""
    return len(np.unique(candidates.rows[candidates.rows >= 0]))


def measure(
    config: StressConfig,
    inputs: Inputs,
    relevant: Candidates,
    clean: np.ndarray,
    kind: str,
    scores: AttackScores,
    run: RunDirectory,
) -> Iterator[pd.DataFrame]:
    """Measures and the hijack rate by query, of every pool and count of one kind of injection."""
    rows = np.concatenate([relevant.rows, scores.candidates.rows], axis=1)
    for (a, pool), (k, count) in itertools.product(enumerate(config.pool), enumerate(config.counts)):
        values = np.concatenate([clean[a], scores.values[a, k]], axis=1)
        ranking = list(rank(relevant, rows, values, config.depth))
        run.write_ranking(run.path / "rankings" / kind / pool / f"K{count}.trec.gz", ranking)
        table = measures.per_query(config.measures, inputs.dataset.qrels, ranking)
        rates = mean_of_real(scores.hijacked[a, k])
        hijacked = pd.DataFrame({"measure": tables.HIJACK, "query_id": relevant.query_ids, "value": rates})
        table = pd.concat([table, hijacked], ignore_index=True)
        names: list[str | int] = [slug(config.dataset), slug(config.checkpoint), kind, count, pool]
        for at, (column, value) in enumerate(zip(tables.STRESS_KEYS[:5], names, strict=True)):
            table.insert(at, column, value)
        yield table


def mean_of_real(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where all is: (Q, C) → (Q)."""
    real = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(real, values, 0.0).sum(-1, dtype=np.float64) / real.sum(-1))


def show(result: Result, config: StressConfig, console: Console) -> int:
    """Print the run's tables, and the query that was explained."""
    code = printed.show(result, config, console)
    if result.explained is not None:
        terminal.show(explained(result.explained, f"{result.path}/explain-*.svg"), console)
    return code
