"""What the numbers say: claims that the tables carry, and no ranking that no test carries. Tables in, claims out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import pandas as pd

from harness.records import SLOPE, VALUE
from harness.reports import claims, values
from harness.reports.claims import Claim, Tested

T = TypeVar("T")


def tested(rows: pd.DataFrame, name: str = "pool") -> tuple[Tested, ...]:
    """Rows of tests as records."""
    return tuple(
        Tested(
            str(row[name]),
            float(row["mean_difference"]),
            float(row["p_holm"]) if pd.notna(row["p_holm"]) else None,
            int(row["n"]),
            int(row["wins"]),
            int(row["losses"]),
        )
        for row in rows.to_dict("records")
    )


def by_pool(kind: Callable[..., T], rows: pd.DataFrame, columns: Sequence[str]) -> tuple[T, ...]:
    """A record for every row: the pool, then the columns."""
    return tuple(kind(row["pool"], *(float(row[name]) for name in columns)) for row in rows.to_dict("records"))


def ceiling(candidates: Mapping[str, Any]) -> list[Claim]:
    """What the candidates allow."""
    if not candidates:
        return []
    return [values.Ceiling(candidates["source"], candidates["depth"], candidates["recall"])]


def degradation(
    rows: pd.DataFrame, tests: pd.DataFrame, slopes: Mapping[str, float], over: Sequence[int]
) -> list[Claim]:
    """One arm and measure of ``eval``: values at the longest length, slopes, and what their tests say.

    rows: the summary's rows of the arm and measure; tests: the same of tests.csv; slopes: change for each doubling by
    pool; over: the lengths that the slope is over.
    """
    longest, shortest = int(rows["length"].max()), int(rows["length"].min())
    columns = ["value", "ci_low", "ci_high", *(["retained"] if longest > shortest else [])]
    reached = by_pool(values.Reached, rows[rows["length"] == longest], columns)
    arm, measure = (str(rows[name].iloc[0]) for name in ("arm", "measure"))
    statements: list[Claim] = [values.Reach(arm, measure, longest, shortest, reached)]
    if slopes:
        statements.append(values.Slopes((over[0], over[-1]), tuple(slopes.items())))
    at_longest = (tests["statistic"] == VALUE) & (tests["length"] == longest)
    for words, place in {"In the slope": tests["statistic"] == SLOPE, f"At L = {longest}": at_longest}.items():
        if len(here := tests[place]):
            statements.append(claims.Verdict(words, str(here["baseline"].iloc[0]), tested(here)))
    return statements


def attack(rows: pd.DataFrame, tests: pd.DataFrame) -> list[Claim]:
    """One kind of injection and measure of ``stress``, at the largest count."""
    kind, measure, count = str(rows["inject"].iloc[0]), str(rows["measure"].iloc[0]), int(rows["count"].max())
    columns = ["retained", "retained_low", "retained_high", "value"]
    shares = by_pool(values.Retained, rows[rows["count"] == count], columns)
    statements: list[Claim] = [values.Attack(kind, measure, count, shares)]
    if not count:
        return statements
    if gains := tuple(one.pool for one in shares if one.low > 1):
        statements.append(values.Gains(gains))
    if len(here := tests[tests["count"] == count]):
        words = {"better": "smaller losses than", "worse": "larger losses than", "same": "losses equal to those of"}
        statements.append(claims.Verdict(f"At K = {count}", str(here["baseline"].iloc[0]), tested(here), **words))
    return statements


def hijack(rows: pd.DataFrame) -> list[Claim]:
    """One kind of injection: the share of every pool's selection that is taken at the largest count."""
    count, kind = int(rows["count"].max()), str(rows["inject"].iloc[0])
    if not count:
        return []
    last = rows[rows["count"] == count].drop_duplicates("pool").to_dict("records")
    rates = ((str(row["pool"]), float(row["hijack_rate"]) if pd.notna(row["hijack_rate"]) else None) for row in last)
    return [values.Hijack(kind, count, tuple(rates))]


def concentration(rows: pd.DataFrame, tests: pd.DataFrame) -> list[Claim]:
    """One length of ``gradients``: every pool's Gini, and which of them tests tell apart."""
    length = int(rows["length"].iloc[0])
    ginis = tuple(tuple(row) for row in rows[["pool", "gini", "gini_low", "gini_high"]].itertuples(index=False))
    statements: list[Claim] = [values.Ginis(length, ginis)]
    here = tests[tests["length"] == length]
    if not len(here):
        return statements
    if (here["p_holm"] < claims.LEVEL).all():
        up = here["mean_difference"] > 0
        ahead = [*here[up]["pool"], *here[~up]["baseline"]]
        order = tuple(sorted(rows["pool"], key=lambda pool: -ahead.count(pool)))
        if [ahead.count(pool) for pool in order] == list(range(len(order)))[::-1]:  # else they go round in a circle
            return [*statements, claims.Order(order, float(here["p_holm"].max()))]
    for baseline in dict.fromkeys(here["baseline"]):
        against = tested(here[here["baseline"] == baseline])
        words = {"better": "more concentrated than", "worse": "less concentrated than", "unit": "pairs"}
        statements.append(claims.Verdict(f"At L = {length}", str(baseline), against, **words))
    return statements


def compared(tests: pd.DataFrame, baseline: str) -> list[Claim]:
    """All of a comparison: how many cells differ from the baseline, and the largest difference, a claim per run."""
    cells = tests[tests["statistic"] == VALUE] if "statistic" in tests else tests
    statements: list[Claim] = []
    for run, rows in cells.groupby("run", sort=False):
        significant = rows[rows["p_holm"] < claims.LEVEL]
        ahead, behind = (int((sign * significant["mean_difference"] > 0).sum()) for sign in (1, -1))
        counted, n, differ = (
            int(one) for one in (rows["p_holm"].notna().sum(), rows["n"].max(), (rows["wins"] + rows["losses"]).max())
        )
        largest = furthest(significant if len(significant) else rows)
        statements.append(claims.Ahead(str(run), baseline, ahead, behind, counted, len(rows), n, differ, largest))
    return statements


def furthest(rows: pd.DataFrame) -> tuple[float, str]:
    """The largest difference of a comparison's rows, and where it is."""
    row = rows.iloc[int(rows["mean_difference"].abs().to_numpy().argmax())]
    where = ", ".join(str(row[name]) for name in ("measure", "arm", "inject", "pool") if name in row.index)
    at = f"L = {row['length']}" if "length" in row.index else f"K = {row['count']}"
    return float(row["mean_difference"]), f"{where}, {at}"
