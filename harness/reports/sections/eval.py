"""The section of ``harness eval``: degradation by length, a table for every measure and arm."""

from __future__ import annotations

import numpy as np

from harness.records import SLOPE, Manifest
from harness.reports import findings
from harness.reports.content import BLANK, Axes, Cell, Choice, Column, Figure, Row, RunSection, Table, decimals
from harness.reports.reading import FinishedRun
from harness.reports.sections import base
from harness.statistics import tables as statistics
from harness.vectors.arms import claim as claim_of

LEGEND = (
    "A row is a pool, a column a document length L in patches. A cell is the mean over queries, what is left of the"
    " value at the shortest length, and the 95 % bootstrap interval of the mean. The slope is the change for each"
    " doubling of L. † marks a difference from {baseline} (paired t-test over queries, Holm-corrected p < 0.05); the"
    " best value of a column is bold."
)


def build(run: FinishedRun, name: str) -> RunSection:
    config = run.manifest.config
    arms, measures = config["arms"], config["measures"]
    tables = tuple(table(run, arm, measure) for measure in measures for arm in arms)
    figures = (
        Figure(
            f"{base.slug(measure)}-by-length",
            f"{measure} by document length",
            f"{measure} of every pool against document length, an arm a panel, bands are 95 % intervals;"
            " the tables hold the same numbers.",
            tuple(one for one in tables if one.where["measure"] == measure),
        )
        for measure in measures
    )
    return RunSection(
        title=f"Document length: {config['dataset']}, {config['checkpoint']}",
        question=base.asked(run, int(run.summary["n_queries"].iloc[0])),
        notes=base.notes(run.manifest),
        legend=base.legend(LEGEND, config["pool"][0]),
        tables=tables,
        findings=(
            *(" ".join(one.findings) for one in tables if one.where["measure"] == measures[0]),
            *map(str, findings.ceiling(run.manifest.candidates)),
        ),
        files=base.files(run),
        name=name,
        run=run,
        figures=tuple(figures),
        choices=(Choice("measure", "Measure", tuple(measures)), Choice("arm", "Arm", tuple(arms))),
        series=tuple(config["pool"]),
        missing=base.missing(run, ["texts.parquet"]),
    )


def table(run: FinishedRun, arm: str, measure: str) -> Table:
    """One arm and measure: pools × lengths and the slope, the candidates' own ranking below."""
    config = run.manifest.config
    lengths, growing = config["lengths"], sloped(arm, run.manifest)
    of_measure = run.summary[run.summary["measure"] == measure]
    rows = of_measure[of_measure["arm"] == arm]
    tests = run.tests[(run.tests["arm"] == arm) & (run.tests["measure"] == measure)]
    marked, cells = base.significant(tests, "length"), base.by_place(rows, "pool", "length")
    slopes = {
        pool: per_doubling([cells[pool, length]["value"] for length in growing], growing)
        for pool in config["pool"]
        if len(growing) > 1
    }

    def cell(pool: str, length: base.Place) -> Cell:
        mark = (pool, length) in marked
        if length == SLOPE:
            return Cell(slopes[pool], decimals(slopes[pool], "+"), mark=mark)
        row = cells[pool, length]
        return base.mean(row, "n_queries", mark, base.real(row["retained"]) if length > lengths[0] else None)

    places = [*lengths, *([SLOPE] if slopes else [])]
    first = tuple(
        Row(f"{row['pool']} (first stage)", (base.mean(row, "n_queries"), *[BLANK] * (len(places) - 1)), quiet=True)
        for row in base.records(of_measure[of_measure["arm"] == "candidates"])
    )
    return Table(
        f"{base.slug(measure)}-{arm}",
        f"{measure}, arm {arm}",
        measure,
        (*base.columns_of("L", lengths), *([Column(SLOPE)] if slopes else [])),
        (*base.rows_of(config["pool"], places, cell), *first),
        f"Arm {arm}: {described(arm, run.manifest)}",
        {"measure": measure, "arm": arm},
        Axes("curve", "document length L, patches", measure, "retained", scale="log2"),
        tuple(map(str, findings.degradation(rows, tests, slopes, growing))),
    ).marked()


def per_doubling(values: list[float], lengths: list[int]) -> float:
    """Least-squares change of the mean for each doubling of the length."""
    return round(float(np.polyfit(np.log2(lengths), values, 1)[0]), 4) + 0.0  # + 0.0: no minus before a zero


def sloped(arm: str, manifest: Manifest) -> list[int]:
    """The lengths that the slope of an arm is over."""
    return statistics.reached(manifest.cells).get(arm, list(manifest.config["lengths"]))


def described(arm: str, manifest: Manifest) -> str:
    """What an arm does, with what, and from which length on nothing changes."""
    description = f"{claim_of(arm)}{filled(arm, manifest)}."
    growing, lengths = sloped(arm, manifest), manifest.config["lengths"]
    if len(growing) == len(lengths):
        return description
    most = max(cell["patches_max"] for cell in manifest.cells if cell["arm"] == arm)
    over = f"the slope is over L = {growing[0]} to {growing[-1]}" if len(growing) > 1 else "there is no slope"
    last = f"From L = {growing[-1]} on nothing changes, for no document scored has more than {most:,} patches"
    return f"{description} {last}: {over}."


def filled(arm: str, manifest: Manifest) -> str:
    """Evidence and fill of an arm, as they were."""
    for cell in manifest.cells:
        if cell["arm"] == arm and cell["fill"]:
            evidence = f"evidence {cell['evidence']}, " if cell["evidence"] else ""
            return f" ({evidence}fill {cell['fill']})"
    return ""
