"""The section of ``harness compare``: every run's values and its paired differences from the baseline."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pandas as pd

from harness.errors import plain
from harness.records import SLOPE
from harness.reports import findings
from harness.reports.claims import LEVEL
from harness.reports.content import EMPTY, Axes, Cell, Choice, Column, Figure, RunSection, Table, decimals, interval
from harness.reports.reading import FinishedRun
from harness.reports.sections import base
from harness.statistics.comparison import PLACES

LEGEND = (
    "A row is a run, a column a length or count. A cell is the mean over queries, beside it the paired difference from"
    " {baseline} with its 95 % interval. † marks a difference with Holm-corrected p < 0.05 over all tests of the"
    " comparison; the best value of a column is bold."
)
LABELS = {"measure": "Measure", "arm": "Arm", "inject": "Injection", "pool": "Pool"}
AXES = {
    "length": ("L", "document length L, patches", "log2"),
    "count": ("K", "injected patches K", "symlog"),
}
NAME = 60  # letters of an id
SHOWN = 5  # queries listed as winners and as losers


def build(run: FinishedRun, name: str) -> RunSection:
    config, tests = run.manifest.config, run.tests
    inside, across = PLACES[config["of"]][1:3]
    options = {key: tuple(map(str, dict.fromkeys(tests[key]))) for key in ("measure", inside, "pool")}
    tables = [
        table(run, dict(zip(options, place, strict=True)), across) for place in itertools.product(*options.values())
    ]
    shown = tuple(one for one in tables if one is not None)
    figures = (
        Figure(
            one.name,
            one.title,
            "The difference of every run from the baseline with 95 % intervals; the table holds the same numbers.",
            (one,),
        )
        for one in shown
    )
    return RunSection(
        title=f"Comparison with {config['baseline']}: {config['dataset']}",
        question=base.asked(run, int(tests["n"].max())),
        notes=base.notes(run.manifest),
        legend=base.legend(LEGEND, config["baseline"]),
        tables=shown,
        findings=(*map(str, findings.compared(tests, config["baseline"])), changes(run)),
        files=base.files(run, "; queries.parquet lists every query of every cell."),
        name=name,
        run=run,
        figures=tuple(figures),
        choices=tuple(Choice(key, LABELS[key], values) for key, values in options.items()),
        series=tuple(dict.fromkeys([config["baseline"], *config["runs"]])),
        series_label="Runs",
    )


def table(run: FinishedRun, where: dict[str, str], across: str) -> Table | None:
    """One measure, arm (or injection) and pool: runs × lengths (or counts); None where there is no such cell."""
    baseline, (letter, words, scale) = run.manifest.config["baseline"], AXES[across]
    summary, tests = (only(one, where) for one in (run.summary, run.tests))
    if not len(tests):
        return None
    values, tested = (
        {(row["run"], base.place(row, across)): row for row in base.records(one)} for one in (summary, tests)
    )
    places = list(dict.fromkeys(place for _, place in tested))

    def cell(name: str, place: base.Place) -> Cell:
        return difference(values.get((name, place)), tested.get((name, place)), name == baseline)

    return Table(
        "-".join(base.slug(part) for part in where.values()),
        f"{', '.join(where.values())}: against {baseline}",
        where["measure"],
        tuple(Column(SLOPE) if one == SLOPE else Column(f"{letter} = {one}", float(one)) for one in places),
        base.rows_of(dict.fromkeys([baseline, *tests["run"]]), places, cell),
        "",
        where,
        Axes("curve", words, f"difference in {where['measure']}", "difference", "beside", scale),
    ).marked()


def only(table: pd.DataFrame, where: Mapping[str, object]) -> pd.DataFrame:
    for key, value in where.items():
        table = table[table[key].astype(str) == str(value)]
    return table


def difference(row: base.Record | None, test: base.Record | None, base_run: bool) -> Cell:
    """A run's value and what the test says of it; of a slope there is only the difference."""
    value = float("nan") if row is None else float(row["value"])
    if test is None:
        return (
            EMPTY if row is None else Cell(value, decimals(value), 0.0 if base_run else None, n=int(row["n_queries"]))
        )
    (low, high), change = base.ends(test), float(test["mean_difference"])
    mark, n = bool(test["p_holm"] < LEVEL), int(test["n"])
    return Cell(value, decimals(value), change, decimals(change, "+"), low, high, interval(low, high), n, mark)


def changes(run: FinishedRun) -> str:
    """The queries that lose and win most in the first cell tested."""
    first, place = run.tests.iloc[0], ["run", *PLACES[run.manifest.config["of"]]]
    queries = run.directory.read_table("queries.parquet", run.manifest)
    rows = only(queries, {column: first[column] for column in place})
    ends = {
        "largest losses": rows[rows["difference"] < 0].head(SHOWN),
        "largest wins": rows[rows["difference"] > 0].tail(SHOWN).iloc[::-1],
    }
    listed = (f"{end}: {', '.join(changed(row) for row in base.records(part)) or 'none'}" for end, part in ends.items())
    where = ", ".join(f"{column} {first[column]}" for column in place[1:])
    return (
        f"Run {first['run']} against {first['baseline']} ({where}): {first['wins']} queries win, {first['ties']} tie,"
        f" {first['losses']} lose; {'; '.join(listed)}."
    )


def changed(row: base.Record) -> str:
    return f"{plain(str(row['query_id']), NAME)} {row['value_baseline']:.3f}→{row['value']:.3f}"
