"""A run of ``harness synth`` in a report: training, lengths, injection, and which of the study's claims hold."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.reports.content import (
    EMPTY,
    Axes,
    Cell,
    Choice,
    Column,
    Figure,
    Row,
    Section,
    Table,
    decimals,
    interval,
    share,
)
from harness.reports.reading import FinishedRun
from harness.reports.sections.base import SECTIONS, notes, reading
from harness.reports.synth import at, judged, labelled
from harness.worlds.analysis import SLOPE

READING = (
    "Means over seeds with Student's 95 % interval. † marks a difference from {baseline} (paired t-test over seeds,"
    " Holm-corrected p < 0.05); the best value of a column is bold."
)


@SECTIONS.register("synth")
def synth(run: FinishedRun, name: str) -> Section:
    config = run.manifest.config
    table, tests = labelled(run.summary), labelled(run.tests)
    marked = tests[tests["p_holm"] < 0.05]
    operators = tuple(dict.fromkeys(table["operator"]))
    tables = [by_length(table, marked, operators)]
    tables += [by_count(table, marked, operators, kind) for kind in config["inject"]]
    tables.append(training(table, marked, operators, config["epochs"]))
    asked = f"{config['seeds']} seeds, {config['epochs']} epochs, {config['queries']} queries, training length M ="
    asked += f" {', '.join(map(str, config['train_length']))}, support K = {', '.join(map(str, config['support']))}."
    choices = (Choice("shows", "Shows", tuple(one.where["shows"] for one in tables)),)
    return Section(
        name,
        run,
        "The synthetic study",
        (asked, *notes(run.manifest)),
        tuple(sentences(tests, config["lengths"])),
        reading(READING, config["pool"][0], "seeds"),
        tuple(tables),
        tuple(figures(run)),
        choices,
        operators,
    )


def figures(run: FinishedRun) -> Iterator[Figure]:
    """The study's figure 1, and Gini against the share retained."""

    def one(palette):
        from harness.reports.figures import figure_one

        return figure_one(run.summary, palette)

    def two(palette):
        from harness.reports.figures import tradeoff

        return tradeoff(run.summary, palette)

    yield Figure(
        "figure1",
        "Figure 1: concentration, training, document length",
        "Gini by epoch, Recall@1 by epoch, Recall@1 by document length, a line a pool.",
        draw=one,
    )
    kept = run.summary[(run.summary["measure"] == "retained") & (run.summary["inject"] == "hard")]
    if not kept["value"].notna().any():  # nothing is retained of nothing
        return
    yield Figure(
        "tradeoff",
        "Sparsity and robustness",
        "Gini after training against the share of Recall@1 retained under injection, a mark a pool.",
        draw=two,
    )


def sentences(tests: pd.DataFrame, lengths: list[int]) -> Iterator[str]:
    """The study's claims gathered by their verdict, a sentence or two a pool."""
    for operator, verdicts in judged(tests, lengths).items():
        words = dict.fromkeys(one.word for one in verdicts)
        parts = []
        for word in words:
            shown = (f"{one.claim}{one.numbers}" for one in verdicts if one.word == word)
            parts.append(f"{word[0].upper()}{word[1:]}: {', '.join(shown)}.")
        yield f"The study's claims of {operator} against maxsim. {' '.join(parts)}"


def cell(rows: pd.DataFrame, marked: pd.DataFrame | None = None, kept: pd.DataFrame | None = None) -> Cell:
    """One place's mean and interval; with ``kept``, the share retained beside it and its interval."""
    if not len(rows):
        return EMPTY
    row, mark = rows.iloc[0], marked is not None and len(marked) > 0
    n = int(row["n_seeds"])
    if kept is None:
        low, high = ends(row)
        return Cell(float(row["value"]), decimals(row["value"]), None, "", low, high, interval(low, high), n, mark)
    left = kept.iloc[0] if len(kept) else None
    low, high = ends(left) if left is not None else (None, None)
    value = float(left["value"]) if left is not None else None
    beside = share(value) if value is not None else ""
    return Cell(
        float(row["value"]),
        decimals(row["value"]),
        value,
        beside,
        low,
        high,
        interval(low, high, True) if low is not None and low >= 0 else "",
        n,
        mark,
    )


def ends(row: pd.Series) -> tuple[float | None, float | None]:
    low, high = (float(row[name]) if pd.notna(row[name]) else None for name in ("ci_low", "ci_high"))
    return low, high


def training(table: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...], epochs: int) -> Table:
    """After the last epoch."""
    columns = {"Gini": ("gini", "train"), "R@1 training": ("recall", "train"), "R@1 held-out": ("recall", "heldout")}
    rows = []
    for operator in operators:
        cells = []
        for measure, split in columns.values():
            place = {"measure": measure, "split": split}
            found = at(marked, operator, **place) if measure == "gini" else None
            cells.append(cell(at(table, operator, **place, epoch=epochs), found))
        rows.append(Row(operator, tuple(cells)))
    return Table(
        "training",
        f"After {epochs} epochs",
        "pool",
        tuple(map(Column, columns)),
        tuple(rows),
        "Gini of patch gradients on training pairs; Recall@1 in galleries.",
        {"shows": "after training"},
        better="",
    )


def by_length(table: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...]) -> Table:
    """Held-out Recall@1 by length and its slope."""
    lengths = [one for one in dict.fromkeys(table["length"].dropna().astype(str)) if one not in ("", SLOPE)]
    places = [*lengths, *([SLOPE] if len(lengths) > 1 else [])]
    rows = []
    for operator in operators:
        found = [
            (
                at(table, operator, measure="recall", split="heldout", length=one),
                at(marked, operator, measure="recall", split="heldout", length=one),
            )
            for one in places
        ]
        rows.append(Row(operator, tuple(cell(*one) for one in found)))
    columns = [Column(f"M = {one}", float(one)) if one != SLOPE else Column(SLOPE) for one in places]
    axes = Axes("curve", "patches of a document, M", "Recall@1, held-out", scale="log2")
    return Table(
        "by-length",
        "Recall@1 of held-out queries by document length",
        "R@1",
        tuple(columns),
        tuple(rows),
        "The slope is the change for each doubling of M.",
        {"shows": "document length"},
        axes,
    ).marked()


def by_count(table: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...], kind: str) -> Table:
    """Recall@1 under one kind of injection, and the share retained."""
    attacked = table[table["inject"] == kind]
    counts = sorted(set(attacked["count"].dropna().astype(int)))
    rows = []
    for operator in operators:
        cells = []
        for count in counts:
            place = {"inject": kind, "count": count}
            value, kept = (at(attacked, operator, measure=name, **place) for name in ("recall", "retained"))
            cells.append(cell(value, at(marked, operator, measure="retained", **place), kept))
        rows.append(Row(operator, tuple(cells)))
    axes = Axes("curve", "injected patches K", "Recall@1 retained", "retained", "beside", "symlog", True)
    return Table(
        f"injection-{kind}",
        f"Recall@1 under {kind} injection",
        "R@1",
        tuple(Column(f"K = {count}", count) for count in counts),
        tuple(rows),
        "Beside a value what is left of the value at K = 0, with its interval.",
        {"shows": f"{kind} injection"},
        axes,
    ).marked()
