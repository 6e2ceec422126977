"""A run of ``harness gradients`` in a report: concentration of the gradient by pool and length."""

from __future__ import annotations

import pandas as pd

from harness.reports import findings
from harness.reports.content import Axes, Cell, Choice, Column, Figure, Row, Section, Table, decimals, interval, share
from harness.reports.reading import FinishedRun
from harness.reports.sections.base import SECTIONS, opening, reading, significant

FIGURES = {
    "gini": ("Gini", "The study's Gini coefficient of gradient norms over a document's patches: 1 − 1/M is one patch."),
    "top_share": ("top share", "The share of the gradient that the largest patch receives."),
    "effective_patches": ("effective patches", "exp of the entropy of the shares: over how many patches it spreads."),
    "zero_share": ("zero share", "The share of patches that receive no gradient at all."),
}
READING = (
    "Norms of the score's gradient on the patches of a relevant document. A row is a pool, a column a document length L"
    " in patches; below a value its 95 % bootstrap interval over pairs. † marks a Gini that differs from {baseline}'s"
    " (paired t-test, Holm-corrected p < 0.05)."
)


@SECTIONS.register("gradients")
def gradients(run: FinishedRun, name: str) -> Section:
    config = run.manifest.config
    tables = tuple(table(run, measure) for measure in FIGURES)
    longest = run.summary[run.summary["length"] == run.summary["length"].max()]
    figures = tuple(
        Figure(
            one.name,
            f"{one.corner[0].upper()}{one.corner[1:]} of patch gradients",
            f"{one.corner} by pool and length with 95 % intervals; the table holds the same numbers.",
            (one,),
        )
        for one in tables
    )
    choices = Choice("measure", "Measure", tuple(title for title, _ in FIGURES.values()), dict(FIGURES.values()))
    return Section(
        name,
        run,
        f"Gradient concentration: {config['dataset']}, {config['checkpoint']}",
        opening(run, int(run.summary["n_pairs"].iloc[0]), "pairs"),
        (" ".join(map(str, findings.concentration(longest, run.tests))),),
        reading(READING, config["pool"][0], "pairs"),
        tables,
        figures,
        (choices,),
        tuple(config["pool"]),
    )


def table(run: FinishedRun, measure: str) -> Table:
    """One figure: pools × lengths."""
    config, by_place = run.manifest.config, run.summary.set_index(["pool", "length"])
    title, about = FIGURES[measure]
    tests = run.tests[(run.tests["baseline"] == config["pool"][0]) & (run.tests["measure"] == measure)]
    marked = significant(tests, "pool", "length")
    percent = measure in ("top_share", "zero_share")
    rows = [
        Row(
            pool,
            tuple(
                cell(by_place.loc[(pool, length)], measure, percent, (pool, str(length)) in marked)
                for length in config["lengths"]
            ),
        )
        for pool in config["pool"]
    ]
    said: tuple[str, ...] = ()
    if measure == "gini":
        of_length = [run.summary[run.summary["length"] == length] for length in config["lengths"]]
        said = tuple(" ".join(map(str, findings.concentration(one, run.tests))) for one in of_length)
    axes = Axes("bars", "document length L, patches", title, percent=percent)
    columns = tuple(Column(f"L = {length}", length) for length in config["lengths"])
    return Table(
        measure.replace("_", "-"),
        f"{title[0].upper()}{title[1:]} of patch gradients",
        title,
        columns,
        tuple(rows),
        about,
        {"measure": title},
        axes,
        said,
        better="",
    )


def cell(row: pd.Series, measure: str, percent: bool, marked: bool) -> Cell:
    value = float(row[measure])
    low, high = (float(row[f"{measure}_{end}"]) if f"{measure}_{end}" in row else None for end in ("low", "high"))
    text = share(value, 1) if percent else f"{value:.1f}" if measure == "effective_patches" else decimals(value)
    span = (
        f"{low:.1f}–{high:.1f}" if measure == "effective_patches" and low is not None else interval(low, high, percent)
    )
    return Cell(value, text, low=low, high=high, interval=span, n=int(row["n_pairs"]), mark=marked)
