"""``harness gradients``: how concentrated the gradient of a score is on a relevant document's patches, per pool."""

from __future__ import annotations

import itertools
from dataclasses import asdict, astuple, dataclass, fields

import numpy as np
import pandas as pd
import torch

from harness import readers
from harness.aggregators import AGGREGATORS
from harness.commands.context import RunContext
from harness.commands.prepare import Inputs, folder, prepare
from harness.commands.printed import show as show
from harness.commands.questions import Encoding, Resumable, Retrieval, lengths
from harness.engines.base import serial
from harness.engines.kept import Kept
from harness.options import option
from harness.randomness import generator
from harness.records import Result
from harness.runs import RunDirectory, slug
from harness.statistics import inference
from harness.statistics.concentration import Concentration, concentration, patch_gradients

NAMES = [field.name for field in fields(Concentration)]
FIGURES = ["gini", "gini_standard", "top_share", "effective_patches", "zero_share"]
SUMMARY = ["dataset", "checkpoint", "pool", "length", "gini", "gini_low", "gini_high", "top_share", "effective_patches"]
SUMMARY += ["n_pairs", "gini_standard", "zero_share"]
INTERVALS = ["gini", "top_share", "effective_patches", "zero_share"]  # the standard Gini's is the Gini's, shifted
SUMMARY += [f"{name}_{end}" for name in INTERVALS[1:] for end in ("low", "high")]


@dataclass(frozen=True)
class GradientsConfig(Retrieval, Resumable, Encoding):
    """``harness gradients``."""

    command = "gradients"

    lengths: tuple[int, ...] = lengths((64, 128, 256, 512), "Patches a document is cut to.")
    pairs: int = option(160, readers.whole(2), "Pairs of a query and a relevant document.")


CONFIG = GradientsConfig


def run(config: GradientsConfig, context: RunContext) -> Result:
    """Measure how concentrated the gradient of a score is on a relevant document's patches, with paired tests."""
    inputs = prepare(config, context)
    directory = folder(config, inputs, context)
    with context.claim(config, directory) as new:
        if not new:
            return directory.result()
        context.start(directory, config)
        per_query = measure(config, context, inputs, directory)
        summary = summarise(per_query, config)
        tests = compare(per_query, list(config.pool))
        done = context.manifest(config, config.seed, inputs.fingerprints, inputs.notes, inputs.plugins)
        return directory.finish(summary, per_query, tests, done)


def pairs(config: GradientsConfig, inputs: Inputs) -> list[tuple[int, int]]:
    """(query row, document row) of judged-relevant pairs: all, or as many as asked, drawn by the seed."""
    document_rows = {name: row for row, name in enumerate(inputs.documents.ids)}
    relevant = [
        (query, document_rows[name])
        for query, names in enumerate(map(inputs.dataset.relevant.__getitem__, inputs.queries.ids))
        for name in names
        if name in document_rows
    ]
    chosen = generator(config.seed, "pairs").permutation(len(relevant))[: config.pairs]
    return [relevant[at] for at in sorted(chosen)]


def measure(config: GradientsConfig, context: RunContext, inputs: Inputs, run: RunDirectory) -> pd.DataFrame:
    """A row a pair, pool and length: the figures of harness.statistics.concentration, in float64."""
    pools = [AGGREGATORS.make(pool) for pool in config.pool]
    wanted = pairs(config, inputs)
    cells, rows = list(itertools.product(pools, config.lengths)), []

    def concentrations(pair: tuple[int, int]) -> np.ndarray:  # (cells, figures)
        tokens = torch.from_numpy(inputs.queries.of(pair[0]).astype(np.float64))
        patches = torch.from_numpy(inputs.documents.of(pair[1]).astype(np.float64))
        figures = [concentration(patch_gradients(pool, tokens, patches[:length]).numpy()) for pool, length in cells]
        return np.array([astuple(cell) for cell in figures], np.float64)

    with context.stages("gradients", len(wanted), "pairs") as advance:
        for (query, document), figures_by_cell in Kept(serial, run.part("pairs"))(concentrations, wanted):
            names = {"query_id": inputs.queries.ids[query], "doc_id": inputs.documents.ids[document]}
            for (pool, length), values in zip(cells, figures_by_cell.tolist(), strict=True):
                figures = dict(zip(NAMES, values, strict=True))
                rows.append({"pool": str(pool), "length": length, **names, **figures})
            advance(1)
    table = pd.DataFrame(rows)
    table.insert(0, "dataset", slug(config.dataset))
    table.insert(1, "checkpoint", slug(config.checkpoint))
    return table


def summarise(per_query: pd.DataFrame, config: GradientsConfig) -> pd.DataFrame:
    """Means over pairs with bootstrap intervals."""
    keys = ["dataset", "checkpoint", "pool", "length"]
    groups = per_query.groupby(keys, sort=False)
    table = groups[FIGURES].mean()
    wide = np.stack([[group[name].to_numpy() for name in INTERVALS] for _, group in groups])  # (cells, figures, pairs)
    low, high = inference.bootstrap(wide, np.random.default_rng(config.seed))
    for at, name in enumerate(INTERVALS):
        table[f"{name}_low"], table[f"{name}_high"] = low[:, at], high[:, at]
    table["n_pairs"] = groups.size()
    return table.reset_index()[SUMMARY]


def compare(per_query: pd.DataFrame, pools: list[str]) -> pd.DataFrame:
    """Paired t-tests of the Gini between every two pools at every length, Holm-corrected over all of them.

    A positive difference is a larger Gini for the pool than for its baseline, which is neither better nor worse.
    """
    rows = []
    for length, part in per_query.groupby("length", sort=False):
        gini = {pool: one["gini"].to_numpy() for pool, one in part.groupby("pool", sort=False)}
        for baseline, pool in itertools.combinations(pools, 2):
            test = asdict(inference.paired(gini[pool], gini[baseline]))
            rows.append({"measure": "gini", "length": length, "pool": pool, "baseline": baseline, **test})
    keys = ["measure", "length", "pool", "baseline", "n", "mean_difference", "ci_low", "ci_high", "t", "p", "p_holm"]
    table = pd.DataFrame(rows, columns=[name for name in [*keys, "wins", "ties", "losses"] if name != "p_holm"])
    table.insert(keys.index("p_holm"), "p_holm", inference.holm(table["p"].to_numpy(float)))
    return table
