"""The section of ``harness stress``: what each pool keeps of every measure, and how much of it is hijacked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from harness.errors import plain
from harness.reports import findings
from harness.reports.content import Axes, Cell, Choice, Figure, RunSection, Section, Table, share, words
from harness.reports.reading import FinishedRun
from harness.reports.sections import base

KINDS = {
    "hard": "Patches aimed at a query token, cosine {cosine}.",
    "spike": "Patches that mix {tokens} query tokens.",
    "gaussian": "Random directions, the control.",
}
LEGEND = (
    "K patches are injected into every candidate that is not relevant. A row is a pool, a column a count K. A cell is"
    " the mean over queries, what is left of the value at K = 0, and the 95 % bootstrap interval of what is left. †"
    " marks a loss that differs from {baseline}'s (paired t-test over queries, Holm-corrected p < 0.05); the best value"
    " of a column is bold. The hijack rate is the share of a token's selection that injected patches hold: lower is"
    " better."
)
HIJACK = "hijack rate"
NAME = 60  # letters of an id


def build(run: FinishedRun, name: str) -> RunSection:
    config = run.manifest.config
    kinds, measures = config["inject"], config["measures"]
    first = "R@10" if "R@10" in measures else measures[0]
    measures = [*dict.fromkeys([first, *measures]), HIJACK]
    tables = tuple(
        hijacked(run, kind) if measure == HIJACK else retained(run, kind, measure)
        for measure in measures
        for kind in kinds
    )
    sentences = (
        " ".join(
            sentence
            for one in tables
            if one.where["inject"] == kind and one.where["measure"] in (first, HIJACK)
            for sentence in one.findings
        )
        for kind in kinds
    )
    return RunSection(
        title=f"Injected patches: {config['dataset']}, {config['checkpoint']}",
        question=base.asked(run, int(run.summary["n_queries"].iloc[0])),
        notes=base.notes(run.manifest),
        legend=base.legend(LEGEND, config["pool"][0]),
        tables=tables,
        findings=tuple(sentences),
        files=base.files(run),
        name=name,
        run=run,
        figures=(*(by_count(measure, tables) for measure in measures), *aligned(run)),
        choices=(Choice("measure", "Measure", tuple(measures)), Choice("inject", "Injection", tuple(kinds))),
        series=tuple(config["pool"]),
        missing=base.missing(run, ["texts.parquet", "alignment.parquet"]),
    )


def by_count(measure: str, tables: tuple[Table, ...]) -> Figure:
    """One measure, a kind of injection a panel."""
    title = HIJACK if measure == HIJACK else f"{measure} retained"
    return Figure(
        "hijack-rate" if measure == HIJACK else f"{base.slug(measure)}-retained",
        f"{title[0].upper()}{title[1:]} by injected patches",
        f"{title} of every pool against the injected count K, a kind of injection a panel; the"
        " tables hold the same numbers.",
        tuple(one for one in tables if one.where["measure"] == measure),
    )


def aligned(run: FinishedRun) -> Iterator[Figure]:
    """The tokens of the query that lost most."""
    alignment = run.table("alignment.parquet")
    if alignment is None or not len(alignment):
        return
    query = str(alignment["query_id"].iloc[0])
    rows = alignment[alignment["query_id"] == query]

    def draw(_: Mapping[str, str]) -> Any:
        from harness.reports import charts

        return charts.alignment(rows)

    title = f"Query {plain(query, NAME)}: the winning patch of every token, before and after"
    alternative = "For every query token the similarity of its winning patch before and after injection."
    yield Figure("alignment", title, alternative, draw=draw)


def described(run: FinishedRun, kind: str) -> str:
    line = KINDS.get(kind, f"{kind}.").format(**run.manifest.config)
    return line[0].upper() + line[1:]


def retained(run: FinishedRun, kind: str, measure: str) -> Table:
    """One kind and measure: pools × counts."""
    config = run.manifest.config
    rows = run.summary[(run.summary["inject"] == kind) & (run.summary["measure"] == measure)]
    tests = run.tests[(run.tests["inject"] == kind) & (run.tests["measure"] == measure)]
    marked, cells = base.significant(tests, "count"), base.by_place(rows, "pool", "count")

    def cell(pool: str, count: int) -> Cell:
        row = cells[pool, count]
        span = base.ends(row, "retained_low", "retained_high")
        full = base.retained_of(row, "n_queries", base.real(row["retained"]), span, (pool, count) in marked)
        return full if count else replace(full, beside_text="", interval="")

    return Table(
        f"{base.slug(measure)}-{kind}",
        f"{measure} under {kind} injection",
        measure,
        base.columns_of("K", config["counts"]),
        base.rows_of(config["pool"], config["counts"], cell),
        described(run, kind),
        {"measure": measure, "inject": kind},
        Axes("curve", "injected patches K", f"{measure} retained", "retained", "beside", "symlog", True),
        tuple(map(str, findings.attack(rows, tests))),
    ).marked()


def hijacked(run: FinishedRun, kind: str) -> Table:
    """One kind: the hijack rate, pools × counts; the same under every measure."""
    config = run.manifest.config
    rows = run.summary[run.summary["inject"] == kind].drop_duplicates(["pool", "count"])
    cells = base.by_place(rows, "pool", "count")

    def cell(pool: str, count: int) -> Cell:
        row = cells[pool, count]
        return Cell(float(row["hijack_rate"]), share(row["hijack_rate"], 1), n=int(row["n_queries"]))

    return Table(
        f"hijack-rate-{kind}",
        f"Hijack rate under {kind} injection",
        HIJACK,
        base.columns_of("K", config["counts"]),
        base.rows_of(config["pool"], config["counts"], cell),
        described(run, kind),
        {"measure": HIJACK, "inject": kind},
        Axes("curve", "injected patches K", HIJACK, scale="symlog", percent=True),
        tuple(map(str, findings.hijack(rows))),
        "low",
    ).marked()


def explained(table: pd.DataFrame, path: str) -> Section:
    """The winning patch of each of one query's tokens before and after injection, kind by kind."""
    query, document = (plain(str(table[name].iloc[0]), NAME) for name in ("query_id", "doc_id"))
    columns = ["query token", "won before", "similarity", "wins after", "similarity"]
    tables = []
    for kind, rows in table.groupby("inject", sort=False):
        taken = (rows["after_source"] == "injected").mean()
        tokens = (
            (
                row["token"],
                f"{row['before_patch']} {row['before_text']}",
                f"{row['before_similarity']:.3f}",
                f"injected {row['after_patch']}" if row["after_source"] == "injected" else "the same",
                f"{row['after_similarity']:.3f}",
            )
            for row in base.records(rows)
        )
        title = f"{rows['count'].iloc[0]} {kind} patches: {taken:.0%} of the query's tokens change to an injected patch"
        tables.append(words(title, columns, tokens, numbers=["similarity"]))
    return Section(f"Query {query}, document {document}", tables=tuple(tables), files=(f"Chart: {path}",))
