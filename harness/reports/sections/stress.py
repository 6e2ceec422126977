"""A run of ``harness stress`` in a report: what each pool keeps of every measure, and how much of it is hijacked."""

from __future__ import annotations

import pandas as pd

from harness.errors import plain
from harness.reports import findings
from harness.reports.content import Axes, Cell, Choice, Column, Figure, Row, Section, Table, decimals, interval, share
from harness.reports.reading import FinishedRun
from harness.reports.sections.base import SECTIONS, missing, opening, reading, significant
from harness.reports.sections.eval import slug
from harness.reports.stress import KINDS

READING = (
    "K patches are injected into every candidate that is not relevant. A row is a pool, a column a count K. A cell is"
    " the mean over queries, what is left of the value at K = 0, and the 95 % bootstrap interval of what is left. †"
    " marks a loss that differs from {baseline}'s (paired t-test over queries, Holm-corrected p < 0.05); the best value"
    " of a column is bold. The hijack rate is the share of a token's selection that injected patches hold: lower is"
    " better."
)
HIJACK = "hijack rate"


@SECTIONS.register("stress")
def stress(run: FinishedRun, name: str) -> Section:
    config = run.manifest.config
    kinds = {kind: KINDS.get(kind, kind).format(**config) + "." for kind in config["inject"]}
    kinds = {kind: line[0].upper() + line[1:] for kind, line in kinds.items()}
    first = "R@10" if "R@10" in config["measures"] else config["measures"][0]
    measures = [*dict.fromkeys([first, *config["measures"]]), HIJACK]
    tables = tuple(
        (hijacked if measure == HIJACK else retained)(run, kind, measure, about)
        for measure in measures
        for kind, about in kinds.items()
    )
    headline = [one for one in tables if one.where["measure"] in (first, HIJACK)]
    said = [
        " ".join(sentence for one in headline if one.where["inject"] == kind for sentence in one.says) for kind in kinds
    ]
    return Section(
        name,
        run,
        f"Injected patches: {config['dataset']}, {config['checkpoint']}",
        opening(run, int(run.summary["n_queries"].iloc[0])),
        tuple(said),
        reading(READING, config["pool"][0]),
        tables,
        tuple(figures(run, tables, measures)),
        (Choice("measure", "Measure", tuple(measures)), Choice("inject", "Injection", tuple(kinds), kinds)),
        tuple(config["pool"]),
        missing=missing(run, ["texts.parquet", "alignment.parquet"]),
    )


def figures(run: FinishedRun, tables: tuple[Table, ...], measures: list[str]) -> list[Figure]:
    """A figure a measure, a kind of injection a panel; then the tokens of the query that lost most."""
    made = []
    for measure in measures:
        words = "hijack rate" if measure == HIJACK else f"{measure} retained"
        panels = tuple(one for one in tables if one.where["measure"] == measure)
        name = "hijack-rate" if measure == HIJACK else f"{slug(measure)}-retained"
        made.append(
            Figure(
                name,
                f"{words[0].upper()}{words[1:]} by injected patches",
                f"{words} of every pool against the injected count K, a kind of injection a panel; the"
                " tables hold the same numbers.",
                panels,
            )
        )
    alignment = run.table("alignment.parquet")
    if alignment is not None and len(alignment):
        query = str(alignment["query_id"].iloc[0])
        rows = alignment[alignment["query_id"] == query]

        def draw(_: object):
            from harness.reports import charts

            return charts.alignment(rows)

        made.append(
            Figure(
                "alignment",
                f"Query {plain(query, 60)}: the winning patch of every token, before and after",
                "For every query token the similarity of its winning patch before and after injection.",
                draw=draw,
            )
        )
    return made


def retained(run: FinishedRun, kind: str, measure: str, about: str) -> Table:
    """One kind and measure: pools × counts."""
    counts, pools = run.manifest.config["counts"], run.manifest.config["pool"]
    rows = run.summary[(run.summary["inject"] == kind) & (run.summary["measure"] == measure)]
    tests = run.tests[(run.tests["inject"] == kind) & (run.tests["measure"] == measure)]
    marked, by_place = significant(tests, "pool", "count"), rows.set_index(["pool", "count"])
    made = []
    for pool in pools:
        cells = (cell(by_place.loc[(pool, count)], count > 0, (pool, str(count)) in marked) for count in counts)
        made.append(Row(pool, tuple(cells)))
    axes = Axes("curve", "injected patches K", f"{measure} retained", "retained", "beside", "symlog", True)
    columns = tuple(Column(f"K = {count}", count) for count in counts)
    said = tuple(map(str, findings.attack(rows, tests)))
    return Table(
        f"{slug(measure)}-{kind}",
        f"{measure} under {kind} injection",
        measure,
        columns,
        tuple(made),
        about,
        {"measure": measure, "inject": kind},
        axes,
        said,
    ).marked()


def cell(row: pd.Series, attacked: bool, marked: bool) -> Cell:
    kept, low, high = (
        float(row[name]) if pd.notna(row[name]) else None for name in ("retained", "retained_low", "retained_high")
    )
    return Cell(
        float(row["value"]),
        decimals(row["value"]),
        kept,
        share(kept) if attacked and kept is not None else "",
        low,
        high,
        interval(low, high, True) if attacked else "",
        int(row["n_queries"]),
        marked,
    )


def hijacked(run: FinishedRun, kind: str, measure: str, about: str) -> Table:
    """One kind: the hijack rate, pools × counts; the same under every measure."""
    counts, pools = run.manifest.config["counts"], run.manifest.config["pool"]
    rows = run.summary[run.summary["inject"] == kind].drop_duplicates(["pool", "count"])
    rates, n = rows.set_index(["pool", "count"])["hijack_rate"], int(rows["n_queries"].iloc[0])
    made = []
    for pool in pools:
        values = [float(rates.loc[(pool, count)]) for count in counts]
        made.append(Row(pool, tuple(Cell(value, share(value, 1), n=n) for value in values)))
    columns = tuple(Column(f"K = {count}", count) for count in counts)
    said = tuple(map(str, findings.hijack(rows)))
    axes = Axes("curve", "injected patches K", HIJACK, scale="symlog", percent=True)
    return Table(
        f"hijack-rate-{kind}",
        f"Hijack rate under {kind} injection",
        HIJACK,
        columns,
        tuple(made),
        about,
        {"measure": HIJACK, "inject": kind},
        axes,
        said,
        "low",
    ).marked()
