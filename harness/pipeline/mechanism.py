"""``harness gradients``: how concentrated the gradient of a score is on a relevant document's patches, per pool."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from harness import stats
from harness.aggregators import AGGREGATORS
from harness.concentration import concentration, patch_gradients
from harness.config import GradientsConfig, resolve
from harness.lengths import generator
from harness.pipeline.inputs import Inputs, directory, manifest, prepare
from harness.progress import Stages
from harness.records import Manifest
from harness.runs import RunDirectory, slug

FIGURES = ["gini", "gini_standard", "top_share", "effective_patches", "zero_share"]
SUMMARY = ["dataset", "checkpoint", "pool", "length", "gini", "gini_low", "gini_high", "top_share", "effective_patches"]
SUMMARY += ["n_pairs", "gini_standard", "zero_share"]


@dataclass(frozen=True)
class Gradients:
    """What ``harness gradients`` wrote, as data frames with the files' own columns, and where."""

    path: Path
    summary: pd.DataFrame
    per_query: pd.DataFrame
    tests: pd.DataFrame
    manifest: Manifest


def gradients(
    *, device: str = "auto", output: str | Path = "runs", resume: bool = False, progress: bool = False, **question: Any
) -> Gradients:
    """Measure patch-level gradient concentration over (query, relevant document) pairs; write a run directory.

    question: the options of ``harness gradients`` (see ``harness.config.GradientsConfig``). Raises HarnessError.
    """
    config = resolve(GradientsConfig, **question)
    stages = Stages(progress)
    inputs = prepare(config, device, stages)
    run = directory(config, inputs, output)
    if run.finished and resume:
        return read_gradients(run)
    run.restart()
    run.write_config(config.command, config.plain())
    per_query = measure(config, inputs, stages)
    summary = summarise(per_query, config)
    tests = compare(per_query, list(config.pool))
    run.write_table("per_query.parquet", per_query)
    run.write_table("summary.csv", summary)
    run.write_table("tests.csv", tests)
    done = manifest(config, inputs, stages, "local")
    run.write_manifest(done)
    return Gradients(run.path, summary, per_query, tests, done)


def read_gradients(run: RunDirectory) -> Gradients:
    """A finished gradients run, from disk."""
    summary, per_query, tests = map(run.read_table, ("summary.csv", "per_query.parquet", "tests.csv"))
    return Gradients(run.path, summary, per_query, tests, run.read_manifest())


def pairs(config: GradientsConfig, inputs: Inputs) -> list[tuple[int, int]]:
    """(query row, document row) of judged-relevant pairs: all, or as many as asked, drawn by the seed."""
    query_rows = {name: row for row, name in enumerate(inputs.queries.ids)}
    document_rows = {name: row for row, name in enumerate(inputs.documents.ids)}
    relevant = [
        (query_rows[qrel.query_id], document_rows[qrel.doc_id]) for qrel in inputs.dataset.qrels if qrel.relevance > 0
    ]
    chosen = generator(config.seed, "pairs").permutation(len(relevant))[: config.pairs]
    return [relevant[at] for at in sorted(chosen)]


def measure(config: GradientsConfig, inputs: Inputs, stages: Stages) -> pd.DataFrame:
    """A row a pair, pool and length: the figures of harness.concentration, in float64."""
    made = [AGGREGATORS.make(pool) for pool in config.pool]
    wanted = pairs(config, inputs)
    rows = []
    with stages("gradients", len(wanted), "pairs") as advance:
        for query, document in wanted:
            tokens = torch.from_numpy(inputs.queries.of(query).astype(np.float64))
            patches = torch.from_numpy(inputs.documents.of(document).astype(np.float64))
            names = {"query_id": inputs.queries.ids[query], "doc_id": inputs.documents.ids[document]}
            for aggregator, length in itertools.product(made, config.lengths):
                figures = concentration(patch_gradients(aggregator, tokens, patches[:length]).numpy())
                rows.append({"pool": str(aggregator), "length": length, **names, **asdict(figures)})
            advance(1)
    table = pd.DataFrame(rows)
    table.insert(0, "dataset", slug(config.dataset))
    table.insert(1, "checkpoint", slug(config.checkpoint))
    return table


def summarise(per_query: pd.DataFrame, config: GradientsConfig) -> pd.DataFrame:
    """Means over pairs, with the bootstrap interval of the study's Gini."""
    keys = ["dataset", "checkpoint", "pool", "length"]
    groups = per_query.groupby(keys, sort=False)
    table = groups[FIGURES].mean()
    wide = np.stack([group["gini"].to_numpy() for _, group in groups])
    table["gini_low"], table["gini_high"] = stats.bootstrap(wide, np.random.default_rng(config.seed))
    table["n_pairs"] = groups.size()
    return table.reset_index()[SUMMARY]


def compare(per_query: pd.DataFrame, pools: list[str]) -> pd.DataFrame:
    """Paired t-tests of the Gini between every two pools at every length, Holm-corrected over all of them."""
    rows = []
    for length, part in per_query.groupby("length", sort=False):
        gini = {pool: one["gini"].to_numpy() for pool, one in part.groupby("pool", sort=False)}
        for baseline, pool in itertools.combinations(pools, 2):
            test = asdict(stats.paired(gini[pool], gini[baseline]))
            rows.append({"measure": "gini", "length": length, "pool": pool, "baseline": baseline, **test})
    keys = ["measure", "length", "pool", "baseline", "n", "mean_difference", "ci_low", "ci_high", "t", "p", "p_holm"]
    table = pd.DataFrame(rows, columns=[name for name in [*keys, "wins", "ties", "losses"] if name != "p_holm"])
    table.insert(keys.index("p_holm"), "p_holm", stats.holm(table["p"].to_numpy(float)))
    return table
