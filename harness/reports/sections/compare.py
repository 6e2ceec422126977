"""A run of ``harness compare`` in a report: every run's values and its paired differences from the baseline."""

from __future__ import annotations

import itertools

import pandas as pd

from harness.reports import findings
from harness.reports.claims import LEVEL
from harness.reports.content import EMPTY, Axes, Cell, Choice, Column, Figure, Row, Section, Table, decimals, interval
from harness.reports.reading import FinishedRun
from harness.reports.sections.base import SECTIONS, opening, reading
from harness.reports.sections.eval import slug
from harness.statistics.comparison import PLACES

READING = (
    "A row is a run, a column a length or count. A cell is the mean over queries, beside it the paired difference from"
    " {baseline} with its 95 % interval. † marks a difference with Holm-corrected p < 0.05 over all tests of the"
    " comparison; the best value of a column is bold."
)


@SECTIONS.register("compare")
def compare(run: FinishedRun, name: str) -> Section:
    config, tests = run.manifest.config, run.tests
    inside, across = PLACES[config["of"]][1:3]
    options = {key: tuple(map(str, dict.fromkeys(tests[key]))) for key in ("measure", inside, "pool")}
    tables = []
    for place in itertools.product(*options.values()):
        where = dict(zip(options, place, strict=True))
        if (made := table(run, where, across)) is not None:
            tables.append(made)
    labels = {"measure": "Measure", "arm": "Arm", "inject": "Injection", "pool": "Pool"}
    runs = tuple(dict.fromkeys([config["baseline"], *config["runs"]]))
    figures = tuple(
        Figure(
            one.name,
            one.title,
            "The difference of every run from the baseline with 95 % intervals; the table holds the same numbers.",
            (one,),
        )
        for one in tables
    )
    said = tuple(map(str, findings.compared(tests, config["baseline"])))
    return Section(
        name,
        run,
        f"Comparison with {config['baseline']}: {config['dataset']}",
        opening(run, int(tests["n"].max())),
        said,
        reading(READING, config["baseline"]),
        tuple(tables),
        figures,
        tuple(Choice(key, labels[key], values) for key, values in options.items()),
        runs,
        "Runs",
    )


def table(run: FinishedRun, where: dict[str, str], across: str) -> Table | None:
    """One measure, arm (or injection) and pool: runs × lengths (or counts); None where there is no such cell."""
    baseline, letter = run.manifest.config["baseline"], {"length": "L", "count": "K"}[across]
    summary, tests = (only(one, where) for one in (run.summary, run.tests))
    if not len(tests):
        return None
    places = [str(one) for one in dict.fromkeys(tests[across].astype(str))]
    values = {(row["run"], str(row[across])): row for _, row in summary.iterrows()}
    tested = {(row["run"], str(row[across])): row for _, row in tests.iterrows()}
    rows = []
    for name in dict.fromkeys([baseline, *tests["run"]]):
        cells = (cell(values.get((name, one)), tested.get((name, one)), name == baseline) for one in places)
        rows.append(Row(name, tuple(cells)))
    columns = tuple(Column(one) if one == "slope" else Column(f"{letter} = {one}", float(one)) for one in places)
    words = {"length": "document length L, patches", "count": "injected patches K"}
    axes = Axes(
        "curve",
        words[across],
        f"difference in {where['measure']}",
        "difference",
        "beside",
        {"length": "log2", "count": "symlog"}[across],
    )
    name = "-".join(slug(part) for part in where.values())
    return Table(
        name,
        f"{', '.join(where.values())}: against {baseline}",
        where["measure"],
        columns,
        tuple(rows),
        "",
        where,
        axes,
    ).marked()


def only(table: pd.DataFrame, where: dict[str, str]) -> pd.DataFrame:
    for key, value in where.items():
        table = table[table[key].astype(str) == value]
    return table


def cell(row: pd.Series | None, test: pd.Series | None, base: bool) -> Cell:
    """A run's value and what the test says of it; of a slope there is the difference alone."""
    if row is None and test is None:
        return EMPTY
    value = float("nan") if row is None else float(row["value"])
    n = None if test is None else int(test["n"])
    if test is None:
        return Cell(value, decimals(value), 0.0 if base else None, "", n=None if row is None else int(row["n_queries"]))
    low, high = (float(test[name]) if pd.notna(test[name]) else None for name in ("ci_low", "ci_high"))
    difference = float(test["mean_difference"])
    return Cell(
        value,
        decimals(value),
        difference,
        decimals(difference, "+"),
        low,
        high,
        interval(low, high),
        n,
        bool(test["p_holm"] < LEVEL),
    )
