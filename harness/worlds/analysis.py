"""From trials to the study's tables: means and intervals over seeds, and tests between pools paired by seed."""

from __future__ import annotations

import pandas as pd

from harness.records import SLOPE, VALUE
from harness.statistics import inference

UNIT = ["train_length", "support"]
KEYS = ["pool", "measure", "split", "epoch", "length", "statistic", "inject", "count"]
SUMMARY = [*KEYS, "value", "ci_low", "ci_high", "n_seeds", *UNIT]
PLACE = KEYS[1:]
TESTED = ["n", "mean_difference", "ci_low", "ci_high", "t", "p", "p_holm", "wins", "ties", "losses"]
TESTS = [*PLACE, "pool", "baseline", *TESTED, *UNIT]


def measured(training: pd.DataFrame, lengths: pd.DataFrame, injection: pd.DataFrame) -> pd.DataFrame:
    """The three tables as one, a row a value: KEYS, UNIT, ``seed`` and ``value``; what does not apply is empty text."""
    parts = []
    for column, measure, split in (
        ("loss", "loss", "train"),
        ("gini", "gini", "train"),
        ("gini_standard", "gini_standard", "train"),
        ("recall_train", "recall", "train"),
        ("recall_heldout", "recall", "heldout"),
    ):
        parts.append(training.rename(columns={column: "value"}).assign(measure=measure, split=split))
    sloped = lengths.groupby(["pool", "seed", "split", *UNIT], sort=False)[["length", "recall"]]
    if lengths["length"].nunique() > 1:
        slopes = sloped.apply(lambda one: inference.slopes(one[["recall"]].to_numpy(), one["length"].to_numpy())[0])
        parts.append(slopes.rename("value").reset_index().assign(measure="recall", statistic=SLOPE))
    parts.append(lengths.rename(columns={"recall": "value"}).assign(measure="recall"))
    for measure in ("recall", "retained", "hijack_rate"):
        parts.append(injection.rename(columns={measure: "value"}).assign(measure=measure, split="heldout"))
    wanted = [*KEYS, *UNIT, "seed", "value"]
    table = pd.concat([part.reindex(columns=wanted).astype({"value": float}) for part in parts], ignore_index=True)
    table["statistic"] = table["statistic"].fillna(VALUE)
    for key in ("epoch", "length", "inject", "count"):
        table[key] = [
            f"{value:g}" if isinstance(value, float) else str(value)
            for value in table[key].astype(object).where(table[key].notna(), "")
        ]
    return table[table["value"].notna()]


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds with Student's 95 % interval, a row a place and pool."""
    rows = []
    for key, group in values.groupby([*KEYS, *UNIT], sort=False):
        mean, low, high, *_ = map(float, inference.student(group["value"].to_numpy()))
        named = dict(zip([*KEYS, *UNIT], key, strict=True))
        rows.append({**named, "value": mean, "ci_low": low, "ci_high": high, "n_seeds": len(group)})
    return pd.DataFrame(rows, columns=SUMMARY)


def compare(values: pd.DataFrame, pools: list[str]) -> pd.DataFrame:
    """Each pool against the first, paired by seed: the Gini after training, Recall@1 at every length and its slope,
    the share retained and the hijack rate at every injected count.

    A positive difference is better for the pool: its hijack rate is lower. Of the Gini, which is neither, it is
    larger.
    Holm's correction runs over all tests of one measure and split.
    """
    last = str(values.loc[values["epoch"] != "", "epoch"].astype(int).max())
    final = values[
        ((values["measure"] == "gini") & (values["epoch"] == last))
        | ((values["measure"] == "recall") & ((values["length"] != "") | (values["statistic"] == SLOPE)))
        | (values["measure"].isin(["retained", "hijack_rate"]) & (values["count"] != "0"))
    ]
    rows = []
    for key, group in final.groupby([*PLACE, *UNIT], sort=False):
        wide = group.pivot(index="pool", columns="seed", values="value")
        for pool in pools[1:]:
            if pool in wide.index and pools[0] in wide.index:
                both = wide.loc[[pool, pools[0]]].dropna(axis=1).to_numpy()  # nothing is retained of nothing
                if not both.shape[1]:
                    continue
                named = dict(zip([*PLACE, *UNIT], key, strict=True))
                test = vars(inference.paired(*(both[::-1] if named["measure"] == "hijack_rate" else both)))
                rows.append({**named, "pool": pool, "baseline": pools[0], **test})
    table = pd.DataFrame(rows, columns=[name for name in TESTS if name != "p_holm"])
    table["p_holm"] = (
        table.groupby(["measure", "split"])["p"].transform(lambda p: inference.holm(p.to_numpy())) if rows else None
    )
    return table[TESTS]
