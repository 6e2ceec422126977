"""Do intervals cover, do tests hold their level, and what can they not see? By simulation on known truths."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from harness import stats
from validation import pages
from validation.simulated import coverage, nulls, populations, power

SCARCE = 6  # expected queries that score, or that fall short, below which no interval is claimed


def main(folder: Path) -> Path:
    """Run every simulation on two processes, write the page; returns its path."""
    with ProcessPoolExecutor(2, initializer=partial(threadpool_limits, 1)) as pool:

        def run(function, asked: list) -> list[Any]:
            each = [one if isinstance(one, tuple) else (one,) for one in asked]
            return list(pool.map(function, *zip(*each, strict=True)))

        intervals = coverage.table(run, list(populations.populations()))
        tests, corrected, few, seen = nulls.table(run), nulls.corrected(run), nulls.few(run), power.table(run)
    tables = {
        "summary": summary(intervals, tests, corrected),
        "power": seen,
        "coverage": intervals,
        "few-differ": few,
        "families": corrected,
    }
    page = pages.write(folder, "statistics", "Statistics, by simulation", text(intervals, tests, corrected, seen), tables)
    tests.to_csv(folder / "statistics-tests.csv", index=False, lineterminator="\n")  # hundreds of rows: not in the page
    return page


def summary(intervals: pd.DataFrame, tests: pd.DataFrame, corrected: pd.DataFrame) -> pd.DataFrame:
    """A row a check: how many rates are where they should be, and the extremes."""
    rows = []
    fair = intervals[~scarce(intervals)]
    for name in coverage.INTERVALS:
        for kind, part in fair.groupby("kind"):
            rows.append(_row(f"{name}, {kind}", "0.93–0.97", part[name], 0.93, 0.97))
    for command, part in tests[tests["collections"] >= 2000].groupby("command", sort=False):
        rows.append(_row(f"p-values of {command}", "0.04–0.06", part["rejected"], 0.04, 0.06))
    for command, part in corrected.groupby("command", sort=False):
        rows.append(_row(f"Holm, {command}: any wrong", "≤ 0.05", part["any wrong"], 0.0, 0.05))
    return pd.DataFrame(rows)


def _row(check: str, asked: str, rates: pd.Series, low: float, high: float) -> dict[str, object]:
    inside = int(rates.between(low, high).sum())
    return {"check": check, "asked": asked, "cells": len(rates), "inside": inside, "mean": rates.mean(),
            "least": rates.min(), "most": rates.max()}  # fmt: skip


def scarce(intervals: pd.DataFrame) -> pd.Series:
    return intervals["deciding"] < SCARCE


def text(intervals: pd.DataFrame, tests: pd.DataFrame, corrected: pd.DataFrame, seen: pd.DataFrame) -> str:
    fair, rare = intervals[~scarce(intervals)], intervals[scarce(intervals)]
    kept = tests[tests["collections"] >= 2000]
    at = seen[seen["queries"] == 300]
    return f"""
Collections of 50, 160 and 300 queries are drawn with replacement from real per-query values (SciFact, 300 claims,
MiniLM; `validation/simulated/queries.csv`) and from distributions written down, so that the truth is known.
Monte-Carlo error, half of a 95 % interval: coverage ±{coverage.error(0.95, coverage.COLLECTIONS):.2%}
({coverage.COLLECTIONS:,} collections a cell), rejection ±{coverage.error(0.05, nulls.COLLECTIONS):.2%}
({nulls.COLLECTIONS:,}), family-wise ±{coverage.error(0.05, nulls.FAMILIES):.2%} ({nulls.FAMILIES:,} families).

**Intervals.** The program prints BCa bootstrap intervals of {stats.RESAMPLES:,} resamples (Efron, *Better Bootstrap
Confidence Intervals*, 1987); the simulation calls the program's own function. Where at least {SCARCE} queries of a
collection are expected to score and as many to fall short (column `deciding`), BCa covers the truth in {fair["BCa"].min():.1%} to {fair["BCa"].max():.1%} of
collections, percentiles in {fair["percentile"].min():.1%} to {fair["percentile"].max():.1%}, expanded percentiles
(Hesterberg, 2015) in {fair["expanded percentile"].min():.1%} to {fair["expanded percentile"].max():.1%}: both miss
where few queries score, as under attack, because the distribution of the mean is skewed there. That is why BCa was chosen
(the others are simulated with {coverage.OTHER:,} resamples). Where fewer decide ({len(rare)} cells), no interval made of
what was seen can hold: BCa covers {rare["BCa"].min():.1%} to {rare["BCa"].max():.1%}, for a collection in which no
query scores has the interval [0, 0].

**p-values.** Every p is Student's paired t: in `eval` on values and slopes, in `stress` on losses, in `compare` on
runs or means over seeds, in `gradients` on the Gini, in `synth` over five seeds. The null is exact: real pairs are
exchanged at random query by query; for `synth`, both sides are drawn from forty seeds of one pool. Rates are of p at
most 0.05 among the collections that give a p ({len(kept):,} tests with 2,000 or more of 10,000):
{kept["rejected"].min():.1%} to {kept["rejected"].max():.1%}. No p is printed where fewer than {stats.FEWEST} queries
differ: there the rate depends on how many do and how (table *few differ*), from 0 to 12 %, and an exact test by sign
flips, then conservative, could reject next to nothing. All rows: [statistics-tests.csv](statistics-tests.csv).

**Holm** runs over the program's families (the pools × arms × lengths and slopes of a measure; the whole of a
comparison), with their real correlation; once where no pool differs, once where the last pool does. The rate of any
wrong rejection is at most {corrected["any wrong"].max():.1%}.

**What the bench cannot see.** With 300 queries a true difference of 0.01 nDCG@10 for each doubling between a pool's
slope and MaxSim's is found in {at["sees 0.01"].min():.0%} to {at["sees 0.01"].max():.0%} of collections by one test,
in {at["sees 0.01 after Holm"].min():.0%} to {at["sees 0.01 after Holm"].max():.0%} where Holm corrects over
{power.FAMILY} tests and nothing else differs. What is found in 80 %: {at["least seen"].min():.4f} to
{at["least seen"].max():.4f}, after Holm {at["least seen after Holm"].min():.4f} to
{at["least seen after Holm"].max():.4f} (`checked`: power simulated at the least difference seen; it should be 0.8).
Only the pools' spread over queries decides: softmax:0.1 is close to MaxSim query by query, softmax:1.0 is far.
"""
