"""The section of ``harness synth``: training, lengths, injection, and which of the study's claims hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from harness.records import SLOPE
from harness.reports.content import (
    BLANK,
    EMPTY,
    Axes,
    Cell,
    Choice,
    Column,
    Figure,
    Row,
    RunSection,
    Table,
    share,
    text,
)
from harness.reports.reading import FinishedRun
from harness.reports.sections import base
from harness.reports.study import PUBLISHED, at, judged, labelled

LEGEND = (
    "Means over seeds with Student's 95 % interval. † marks a difference from {baseline} (paired t-test over seeds,"
    " Holm-corrected p < 0.05); the best value of a column is bold."
)
SETTLED = 5  # the epoch from which on the Gini's range is shown
HELDOUT = {"measure": "recall", "split": "heldout"}


def build(run: FinishedRun, name: str) -> RunSection:
    config = run.manifest.config
    summary, tests = labelled(run.summary), labelled(run.tests)
    marked = tests[tests["p_holm"] < 0.05]
    operators = tuple(dict.fromkeys(summary["operator"]))
    kinds = config["inject"]
    tables = (
        by_length(summary, marked, operators),
        *(by_count(summary, marked, operators, kind) for kind in kinds),
        *(hijacked(summary, operators, kind) for kind in kinds),
        training(summary, marked, operators, config["epochs"]),
    )
    asked = f"{config['seeds']} seeds, {config['epochs']} epochs, {config['queries']} queries, training length M ="
    asked += f" {', '.join(map(str, config['train_length']))}, support K = {', '.join(map(str, config['support']))}."
    return RunSection(
        title="The synthetic study",
        question=asked,
        notes=base.notes(run.manifest),
        legend=base.legend(LEGEND, config["pool"][0], "seeds"),
        tables=tables,
        findings=tuple(sentences(tests, config["lengths"])),
        files=base.files(run, "; figure1.html and tradeoff.html show them."),
        name=name,
        run=run,
        figures=tuple(figures(run)),
        choices=(Choice("shows", "Shows", tuple(one.where["shows"] for one in tables)),),
        series=operators,
    )


def figures(run: FinishedRun) -> Iterator[Figure]:
    """The study's figure 1, and Gini against the share retained."""

    def drawn(name: str) -> Callable[[Mapping[str, str]], Any]:
        def draw(palette: Mapping[str, str]) -> Any:
            from harness.reports import figures as charts

            return getattr(charts, name)(run.summary, palette)

        return draw

    yield Figure(
        "figure1",
        "Figure 1: concentration, training, document length",
        "Gini by epoch, Recall@1 by epoch, Recall@1 by document length, a line a pool.",
        draw=drawn("figure_one"),
    )
    retained = run.summary[(run.summary["measure"] == "retained") & (run.summary["inject"] == "hard")]
    if not retained["value"].notna().any():  # nothing is retained of nothing
        return
    yield Figure(
        "tradeoff",
        "Sparsity and robustness",
        "Gini after training against the share of Recall@1 retained under injection, a mark a pool.",
        draw=drawn("tradeoff"),
    )


def sentences(tests: pd.DataFrame, lengths: list[int]) -> Iterator[str]:
    """The study's claims gathered by their verdict, a sentence or two a pool."""
    for operator, verdicts in judged(tests, lengths).items():
        parts = []
        for word in dict.fromkeys(one.word for one in verdicts):
            shown = (f"{one.claim}{one.numbers}" for one in verdicts if one.word == word)
            parts.append(f"{word[0].upper()}{word[1:]}: {', '.join(shown)}.")
        yield f"The study's claims of {operator} against maxsim. {' '.join(parts)}"


def cell(rows: pd.DataFrame, marked: pd.DataFrame | None = None) -> Cell:
    """One place's mean and interval."""
    mark = marked is not None and len(marked) > 0
    return base.mean(base.records(rows)[0], "n_seeds", mark) if len(rows) else EMPTY


def training(summary: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...], epochs: int) -> Table:
    """After the last epoch, the study's own figures below; the range of the Gini over epochs from SETTLED on."""
    rows = []
    for operator in operators:
        gini = at(summary, operator, measure="gini")
        later = gini[gini["epoch"] >= SETTLED]["value"]
        after = at(summary, operator, epoch=epochs)
        rows.append(
            Row(
                operator,
                (
                    cell(at(after, operator, measure="gini"), at(marked, operator, measure="gini")),
                    text(f"{later.min():.3f}–{later.max():.3f}" if len(later) else "–"),
                    cell(at(after, operator, measure="recall", split="train")),
                    cell(at(after, operator, **HELDOUT)),
                ),
            )
        )
        if operator in PUBLISHED:
            gini_published, recall = map(text, PUBLISHED[operator])
            rows.append(Row(f"{operator} (the study)", (gini_published, BLANK, BLANK, recall), quiet=True))
    return Table(
        "training",
        f"After {epochs} epochs",
        "pool",
        tuple(map(Column, ("Gini", f"from epoch {SETTLED}", "R@1 training", "R@1 held-out"))),
        tuple(rows),
        "Gini of patch gradients on training pairs, and its range over later epochs; Recall@1 in galleries.",
        {"shows": "after training"},
        better="",
    )


def by_length(summary: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...]) -> Table:
    """Held-out Recall@1 by length and its slope."""
    lengths = [int(length) for length in dict.fromkeys(summary["length"].dropna())]

    def measured(operator: str, length: base.Place) -> Cell:
        place = {"statistic": SLOPE} if length == SLOPE else {"length": length}
        return cell(*(at(table, operator, **HELDOUT, **place) for table in (summary, marked)))

    return Table(
        "by-length",
        "Recall@1 of held-out queries by document length",
        "R@1",
        (*base.columns_of("M", lengths), *([Column(SLOPE)] if len(lengths) > 1 else [])),
        base.rows_of(operators, [*lengths, *([SLOPE] if len(lengths) > 1 else [])], measured),
        "The slope is the change for each doubling of M.",
        {"shows": "document length"},
        Axes("curve", "patches of a document, M", "Recall@1, held-out", scale="log2"),
    ).marked()


def counts_of(attacked: pd.DataFrame) -> list[int]:
    return sorted(set(attacked["count"].dropna().astype(int)))


def by_count(summary: pd.DataFrame, marked: pd.DataFrame, operators: tuple[str, ...], kind: str) -> Table:
    """Recall@1 under one kind of injection, and the share retained."""
    attacked = summary[summary["inject"] == kind]

    def measured(operator: str, count: int) -> Cell:
        place: dict[str, Any] = {"inject": kind, "count": count}
        rows, shares = (at(attacked, operator, measure=name, **place) for name in ("recall", "retained"))
        if not len(rows):
            return EMPTY
        mark = len(at(marked, operator, measure="retained", **place)) > 0
        [row], [of_share] = base.records(rows), base.records(shares) or [{}]
        span = base.ends(of_share) if of_share else (None, None)
        return base.retained_of(row, "n_seeds", of_share.get("value"), span, mark)

    return Table(
        f"injection-{kind}",
        f"Recall@1 under {kind} injection",
        "R@1",
        base.columns_of("K", counts_of(attacked)),
        base.rows_of(operators, counts_of(attacked), measured),
        "Beside a value what is left of the value at K = 0, with its interval.",
        {"shows": f"{kind} injection"},
        Axes("curve", "injected patches K", "Recall@1 retained", "retained", "beside", "symlog", True),
    ).marked()


def hijacked(summary: pd.DataFrame, operators: tuple[str, ...], kind: str) -> Table:
    """The hijack rate under one kind of injection."""
    attacked = summary[summary["inject"] == kind]

    def rate(operator: str, count: int) -> Cell:
        rows = at(attacked, operator, measure="hijack_rate", count=count)
        if not len(rows):
            return EMPTY
        [row] = base.records(rows)
        low, high = base.ends(row)
        return Cell(row["value"], share(row["value"], 1), low=low, high=high, n=int(row["n_seeds"]))

    return Table(
        f"hijack-rate-{kind}",
        f"Hijack rate under {kind} injection",
        "hijack rate",
        base.columns_of("K", counts_of(attacked)),
        base.rows_of(operators, counts_of(attacked), rate),
        "The share of a token's selection that injected patches hold: lower is better.",
        {"shows": f"hijack rate, {kind}"},
        Axes("curve", "injected patches K", "hijack rate", scale="symlog", percent=True),
        better="low",
    ).marked()
