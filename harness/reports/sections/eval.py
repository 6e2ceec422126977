"""A run of ``harness eval`` in a report: degradation by length, a table an arm and measure."""

from __future__ import annotations

import pandas as pd

from harness.reports import findings
from harness.reports.content import Axes, Cell, Choice, Column, Figure, Row, Section, Table, decimals, interval, share
from harness.reports.reading import FinishedRun
from harness.reports.sections.base import SECTIONS, missing, opening, reading, significant
from harness.reports.tables import about_arm, per_doubling, sloped

READING = (
    "A row is a pool, a column a document length L in patches. A cell is the mean over queries, what is left of the"
    " value at the shortest length, and the 95 % bootstrap interval of the mean. The slope is the change for each"
    " doubling of L. † marks a difference from {baseline} (paired t-test over queries, Holm-corrected p < 0.05); the"
    " best value of a column is bold."
)


@SECTIONS.register("eval")
def evaluation(run: FinishedRun, name: str) -> Section:
    config, summary = run.manifest.config, run.summary
    arms = {arm: f"Arm {arm}: {about_arm(arm, run.manifest)}" for arm in config["arms"]}
    tables = tuple(table(run, arm, measure, about) for measure in config["measures"] for arm, about in arms.items())
    of_first = [one for one in tables if one.where["measure"] == config["measures"][0]]
    said = [" ".join(one.says) for one in of_first] + [str(one) for one in findings.ceiling(run.manifest.candidates)]
    figures = [
        Figure(
            f"{slug(measure)}-by-length",
            f"{measure} by document length",
            f"{measure} of every pool against document length, an arm a panel, bands are 95 % intervals;"
            " the tables hold the same numbers.",
            tuple(one for one in tables if one.where["measure"] == measure),
        )
        for measure in config["measures"]
    ]
    return Section(
        name,
        run,
        f"Document length: {config['dataset']}, {config['checkpoint']}",
        opening(run, int(summary["n_queries"].iloc[0])),
        tuple(said),
        reading(READING, config["pool"][0]),
        tables,
        tuple(figures),
        (Choice("measure", "Measure", tuple(config["measures"])), Choice("arm", "Arm", tuple(arms), arms)),
        tuple(config["pool"]),
        missing=missing(run, ["texts.parquet"]),
    )


def table(run: FinishedRun, arm: str, measure: str, about: str) -> Table:
    """One arm and measure: pools × lengths and the slope, the candidates' own ranking below."""
    config = run.manifest.config
    lengths, pools = config["lengths"], config["pool"]
    of_measure = run.summary[run.summary["measure"] == measure]
    rows = of_measure[of_measure["arm"] == arm]
    tests = run.tests[(run.tests["arm"] == arm) & (run.tests["measure"] == measure)]
    marked = significant(tests, "pool", "length")
    by_place = rows.set_index(["pool", "length"])
    growing = sloped(arm, run.manifest)
    made, slopes = [], {}
    for pool in pools:
        cells = [
            cell(by_place.loc[(pool, length)], (pool, str(length)) in marked, length > lengths[0]) for length in lengths
        ]
        if len(growing) > 1:
            slopes[pool] = per_doubling([by_place.loc[(pool, length), "value"] for length in growing], growing)
            cells.append(Cell(slopes[pool], decimals(slopes[pool], "+"), mark=(pool, "slope") in marked))
        made.append(Row(pool, tuple(cells)))
    columns = [Column(f"L = {length}", length) for length in lengths] + [Column("slope")] * (len(growing) > 1)
    for _, first in of_measure[of_measure["arm"] == "candidates"].iterrows():
        blank = tuple(Cell(float("nan"), "") for _ in columns[1:])
        made.append(Row(f"{first['pool']} (first stage)", (cell(first, False, False), *blank), quiet=True))
    return Table(
        f"{slug(measure)}-{arm}",
        f"{measure}, arm {arm}",
        measure,
        tuple(columns),
        tuple(made),
        about,
        {"measure": measure, "arm": arm},
        Axes("curve", "document length L, patches", measure, "retained", scale="log2"),
        tuple(map(str, findings.degradation(rows, tests, slopes, growing))),
    ).marked()


def cell(row: pd.Series, marked: bool, later: bool) -> Cell:
    kept = float(row["retained"]) if later and pd.notna(row["retained"]) else None
    low, high = float(row["ci_low"]), float(row["ci_high"])
    return Cell(
        float(row["value"]),
        decimals(row["value"]),
        kept,
        share(kept) if kept is not None else "",
        low,
        high,
        interval(low, high),
        int(row["n_queries"]),
        marked,
    )


def slug(measure: str) -> str:
    """A measure as part of a file's name: ``nDCG@10`` → ``ndcg-10``."""
    return "".join(letter if letter.isalnum() else "-" for letter in measure.lower()).strip("-")
