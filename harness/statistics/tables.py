"""From per-query values to the degradation table: intervals, change against the shortest length, paired tests.

In every table of tests a positive ``mean_difference`` and a win are better for the pool that the row names: a higher
value, a slope that falls less, a smaller loss. No measure that ir_measures provides is better when it is lower; of a
count that is neither, such as ``NumRet``, positive means more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.records import SLOPE, VALUE
from harness.statistics import inference

CELL = ["arm", "pool", "length", "measure"]
SUMMARY = ["dataset", "checkpoint", *CELL, "value", "ci_low", "ci_high", "n_queries", "delta", "retained"]
PAIRED = ["pool", "baseline", "n", "mean_difference", "ci_low", "ci_high", "t", "p", "p_holm", "wins", "ties", "losses"]
TESTS = ["measure", "arm", "length", "statistic", *PAIRED]
STRESS_TESTS = ["measure", "inject", "count", *PAIRED]
HIJACK = "hijack_rate"
STRESS_KEYS = ["dataset", "checkpoint", "inject", "count", "pool", "measure"]
STRESS_VALUES = ["value", "ci_low", "ci_high", "n_queries", "retained", "hijack_rate", "retained_low", "retained_high"]


def summarise(per_query: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row a cell: mean over queries, 95 % BCa bootstrap interval, change against the arm's shortest length.

    per_query: ``dataset, checkpoint, arm, pool, length, measure, query_id, value``, every cell on the same queries.
    """
    keys = ["dataset", "checkpoint", *CELL]
    order = pd.MultiIndex.from_frame(per_query[keys].drop_duplicates())
    wide = per_query.pivot(index=keys, columns="query_id", values="value").loc[order]
    low, high = inference.bootstrap(wide.to_numpy(), random)
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


def reached(cells: Iterable[Mapping[str, Any]]) -> dict[str, list[int]]:
    """By arm the lengths that a slope is over: up to the first at which every document that is scored is whole.

    cells: a manifest's, with ``arm, length, patches_max``; of seeds together, each its own. Beyond that length nothing
    changes; filler never ends.
    """
    counts: dict[str, dict[int, int]] = {}
    for cell in cells:
        own = counts.setdefault(cell["arm"], {})
        own[cell["length"]] = max(cell["patches_max"], own.get(cell["length"], 0))
    most = {arm: max(patches.values()) for arm, patches in counts.items()}
    whole = {arm: min(length for length, count in counts[arm].items() if count == most[arm]) for arm in counts}
    return {arm: [length for length in sorted(patches) if length <= whole[arm]] for arm, patches in counts.items()}


def compare(
    per_query: pd.DataFrame, pools: list[str], reached: Mapping[str, Sequence[int]] | None = None
) -> pd.DataFrame:
    """Each pool against the first: paired t-tests at every length and on the slope over log2 length.

    reached: by arm the lengths that the slope is over; all, where an arm is not named. Holm's correction runs over all
    tests of one measure: every arm, pool and length.
    """
    rows = []
    for (measure, arm), part in per_query[per_query["pool"].isin(pools)].groupby(["measure", "arm"], sort=False):
        values = {
            pool: one.pivot(index="length", columns="query_id", values="value").sort_index()
            for pool, one in part.groupby("pool", sort=False)
        }
        base = values[pools[0]]
        growing = list((reached or {}).get(str(arm), base.index))
        for pool in pools[1:]:
            pairs = [(length, VALUE, values[pool].loc[length], base.loc[length]) for length in base.index]
            if len(growing) > 1:
                pairs.append((None, SLOPE, slopes(values[pool], growing), slopes(base, growing)))
            for length, statistic, a, b in pairs:
                keys = {"measure": measure, "arm": arm, "length": length, "statistic": statistic}
                test = vars(inference.paired(np.asarray(a), np.asarray(b)))
                rows.append({**keys, "pool": pool, "baseline": pools[0], **test})
    return corrected(rows, TESTS).astype({"length": "Int64"})


def corrected(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    """Tests as a table, with Holm's correction over all tests of one measure."""
    table = pd.DataFrame(rows, columns=[name for name in columns if name != "p_holm"])
    table["p_holm"] = table.groupby("measure")["p"].transform(lambda p: inference.holm(p.to_numpy())) if rows else None
    return table[columns]


def slopes(values: pd.DataFrame, lengths: Sequence[int]) -> np.ndarray:
    """Change of every column for each doubling of the length, over some of the lengths: (L, Q) → (Q)."""
    return inference.slopes(values.loc[list(lengths)].to_numpy(float), np.asarray(lengths, float))


def summarise_stress(per_query: pd.DataFrame, random: np.random.Generator) -> pd.DataFrame:
    """One row a cell of an attack: mean, interval, share retained of the value without injection, hijack rate.

    per_query: ``dataset, checkpoint, inject, count, pool, measure, query_id, value``; hijack rates are a measure there.
    """
    wide = per_query.pivot(index=STRESS_KEYS, columns="query_id", values="value")
    order = per_query[STRESS_KEYS].drop_duplicates()
    hijack = wide[wide.index.get_level_values("measure") == HIJACK].droplevel("measure").mean(axis=1)
    cells = wide.loc[pd.MultiIndex.from_frame(order[order["measure"] != HIJACK])]
    clean = cells.loc[[(*key[:3], 0, *key[4:]) for key in cells.index]]
    low, high = inference.bootstrap(cells.to_numpy(), random)
    table = pd.DataFrame({"value": cells.mean(axis=1), "ci_low": low, "ci_high": high})
    table["n_queries"] = cells.shape[1]
    base = clean.to_numpy().mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["retained"] = np.where(base > 0, table["value"].to_numpy() / base, np.nan)
    table["retained_low"], table["retained_high"] = inference.bootstrap_ratio(
        cells.to_numpy(), clean.to_numpy(), random
    )
    table = table.reset_index()
    table["hijack_rate"] = [hijack[key] for key in table[STRESS_KEYS[:5]].itertuples(index=False, name=None)]
    return table[[*STRESS_KEYS, *STRESS_VALUES]]


def compare_losses(per_query: pd.DataFrame, pools: list[str]) -> pd.DataFrame:
    """Each pool's change by query (value with injection less value without it) against the first pool's, paired.

    Positive is a smaller loss. Holm's correction runs over all tests of one measure: every injection, count and pool.
    """
    rows = []
    measured = per_query[per_query["measure"] != HIJACK]
    for (measure, inject), part in measured.groupby(["measure", "inject"], sort=False):
        wide = part.pivot(index=["pool", "count"], columns="query_id", values="value")
        counts = sorted(set(part["count"]) - {0})
        for pool, count in ((pool, count) for pool in pools[1:] for count in counts):
            a, b = ((wide.loc[(one, count)] - wide.loc[(one, 0)]).to_numpy() for one in (pool, pools[0]))
            keys = {"measure": measure, "inject": inject, "count": count, "pool": pool, "baseline": pools[0]}
            rows.append({**keys, **vars(inference.paired(a, b))})
    return corrected(rows, STRESS_TESTS)
