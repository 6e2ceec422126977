"""The section of ``harness gradients``: concentration of the gradient by pool and length."""

from __future__ import annotations

import pandas as pd

from harness.reports import findings
from harness.reports.content import Axes, Cell, Choice, Figure, RunSection, Table, decimals, interval, share
from harness.reports.reading import FinishedRun
from harness.reports.sections import base

FIGURES = {
    "gini": ("Gini", "The study's Gini coefficient of gradient norms over a document's patches: 1 − 1/M is one patch."),
    "gini_standard": (
        "standard Gini",
        "The Gini coefficient as it is usually defined, larger than the study's by 1/M.",
    ),
    "top_share": ("top share", "The share of the gradient that the largest patch receives."),
    "effective_patches": ("effective patches", "exp of the entropy of the shares: over how many patches it spreads."),
    "zero_share": ("zero share", "The share of patches that receive no gradient at all."),
}
LEGEND = (
    "Norms of the score's gradient on the patches of a relevant document. A row is a pool, a column a document length L"
    " in patches; below a value its 95 % bootstrap interval over pairs. † marks a Gini that differs from {baseline}'s"
    " (paired t-test, Holm-corrected p < 0.05)."
)


def build(run: FinishedRun, name: str) -> RunSection:
    config, longest = run.manifest.config, run.summary[run.summary["length"] == run.summary["length"].max()]
    tables = tuple(table(run, measure) for measure in FIGURES)
    figures = (
        Figure(
            one.name,
            one.title,
            f"{one.corner} by pool and length with 95 % intervals; the table holds the same numbers.",
            (one,),
        )
        for one in tables
        if one.name != "gini-standard"  # the same chart, shifted
    )
    return RunSection(
        title=f"Gradient concentration: {config['dataset']}, {config['checkpoint']}",
        question=base.asked(run, int(run.summary["n_pairs"].iloc[0]), "pairs"),
        notes=base.notes(run.manifest),
        legend=base.legend(LEGEND, config["pool"][0], "pairs"),
        tables=tables,
        findings=(" ".join(map(str, findings.concentration(longest, run.tests))), *weakest(run.tests)),
        files=base.files(run),
        name=name,
        run=run,
        figures=tuple(figures),
        choices=(Choice("measure", "Measure", tuple(title for title, _ in FIGURES.values())),),
        series=tuple(config["pool"]),
    )


def weakest(tests: pd.DataFrame) -> list[str]:
    """The weakest of the paired tests, if any was made."""
    if not tests["p_holm"].notna().any():
        return []
    row = tests.sort_values("p_holm", ascending=False).iloc[0]
    return [
        "Paired t-tests of the Gini between every two pools at every length: the largest Holm-corrected p is"
        f" {row['p_holm']:.1e}, {row['pool']} against {row['baseline']} at L = {row['length']}."
    ]


def table(run: FinishedRun, measure: str) -> Table:
    """One figure: pools × lengths."""
    config, cells = run.manifest.config, base.by_place(run.summary, "pool", "length")
    title, description = FIGURES[measure]
    tests = run.tests[(run.tests["baseline"] == config["pool"][0]) & (run.tests["measure"] == measure)]
    marked = base.significant(tests, "length")
    of_length = [run.summary[run.summary["length"] == length] for length in config["lengths"]]

    def cell(pool: str, length: int) -> Cell:
        return figure(cells[pool, length], measure, (pool, length) in marked)

    return Table(
        measure.replace("_", "-"),
        f"{title[0].upper()}{title[1:]} of patch gradients",
        title,
        base.columns_of("L", config["lengths"]),
        base.rows_of(config["pool"], config["lengths"], cell),
        description,
        {"measure": title},
        Axes("bars", "document length L, patches", title, percent=measure.endswith("_share")),
        tuple(" ".join(map(str, findings.concentration(one, run.tests))) for one in of_length if measure == "gini"),
        better="",
    )


def figure(row: base.Record, measure: str, mark: bool) -> Cell:
    """One figure of one pool and length, in its own unit."""
    value, percent = float(row[measure]), measure.endswith("_share")
    low, high = base.ends(row, f"{measure}_low", f"{measure}_high") if f"{measure}_low" in row else (None, None)
    if measure == "effective_patches":
        text, span = f"{value:.1f}", "" if low is None else f"{low:.1f}–{high:.1f}"
    else:
        text, span = share(value, 1) if percent else decimals(value), interval(low, high, percent)
    return Cell(value, text, low=low, high=high, interval=span, n=int(row["n_pairs"]), mark=mark)
