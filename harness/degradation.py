"""From per-query values to the degradation table: intervals, change against the shortest length, paired tests."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness import stats

CELL = ["arm", "pool", "length", "measure"]
SUMMARY = ["dataset", "checkpoint", *CELL, "value", "ci_low", "ci_high", "n_queries", "delta", "retained"]
TESTS = [
    "measure",
    "arm",
    "length",
    "pool",
    "baseline",
    "n",
    "mean_difference",
    "ci_low",
    "ci_high",
    "t",
    "p",
    "p_holm",
]
TESTS += ["wins", "ties", "losses"]


def summarise(per_query: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row a cell: mean over queries, 95 % bootstrap interval, change against the arm's shortest length.

    per_query: ``dataset, checkpoint, arm, pool, length, measure, query_id, value``, every cell on the same queries.
    """
    wide = per_query.pivot_table(
        index=["dataset", "checkpoint", *CELL], columns="query_id", values="value", sort=False, dropna=False,
        observed=True,
    )  # fmt: skip
    wide = wide.dropna(how="all")
    low, high = stats.bootstrap(wide.to_numpy(), random)
    table = pd.DataFrame({"value": wide.mean(axis=1), "ci_low": low, "ci_high": high}).reset_index()
    table["n_queries"] = wide.shape[1]
    groups = table.groupby(["arm", "pool", "measure"], sort=False)
    shortest = table.loc[groups["length"].transform("min") == table["length"]]
    first = table.merge(shortest[["arm", "pool", "measure", "value"]], on=["arm", "pool", "measure"], how="left")
    base = first["value_y"].to_numpy(float)
    table["delta"] = table["value"] - base
    with np.errstate(divide="ignore", invalid="ignore"):
        table["retained"] = np.where(base > 0, table["value"] / base, np.nan)
    return table[SUMMARY]


def compare(per_query: pd.DataFrame, pools: list[str]) -> pd.DataFrame:
    """Each pool against the first: paired t-tests at every length and on the slope over log2 length.

    Holm's correction runs over all tests of one measure: every arm, pool and length.
    """
    rows = []
    for (measure, arm), part in per_query[per_query["pool"].isin(pools)].groupby(["measure", "arm"], sort=False):
        values = {pool: one.pivot(index="length", columns="query_id", values="value").sort_index()
                  for pool, one in part.groupby("pool", sort=False)}  # fmt: skip
        base = values[pools[0]]
        lengths = base.index.to_numpy(int)
        for pool in pools[1:]:
            pairs = [(str(length), values[pool].loc[length], base.loc[length]) for length in lengths]
            if len(lengths) > 1:
                a, b = (stats.slopes(one.to_numpy(), lengths) for one in (values[pool], base))
                pairs.append(("slope", a, b))
            for length, a, b in pairs:
                test = vars(stats.paired(np.asarray(a), np.asarray(b)))
                rows.append(
                    {"measure": measure, "arm": arm, "length": length, "pool": pool, "baseline": pools[0], **test}
                )
    table = pd.DataFrame(rows, columns=[name for name in TESTS if name != "p_holm"])
    table["p_holm"] = table.groupby("measure")["p"].transform(lambda p: stats.holm(p.to_numpy())) if rows else None
    return table[TESTS]
