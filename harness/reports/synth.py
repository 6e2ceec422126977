"""A synthetic study in a terminal: its tables beside the study's figures, and which of its claims hold here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.records import Manifest
from harness.reports.claims import Tested, p_text, rule
from harness.reports.findings import tested
from harness.reports.tables import short
from harness.worlds.analysis import SLOPE, UNIT

STUDY = {"maxsim": ("0.78", "0.33–0.38"), "topk:4": ("0.45", "0.33–0.38"), "softmax:1.0": ("0.18", "clearly lower")}


def show(summary: pd.DataFrame, tests: pd.DataFrame, manifest: Manifest, path: str, console: Console) -> None:
    """Print a run of ``harness synth``: training, lengths, injection, claims, and where the files are."""
    config = manifest.config
    table, tests = labelled(summary), labelled(tests)
    marked = tests[tests["p_holm"] < 0.05]
    for line in (
        f"\n[bold]Synthetic study[/]: {config['seeds']} seeds, {config['epochs']} epochs, {config['queries']} queries.",
        *(f"Note: {note}." for note in manifest.notes),
        f"Intervals are Student's over seeds; † marks a difference from {config['pool'][0]} (paired t-test over seeds,"
        " Holm-corrected p < 0.05). Under injection a cell is Recall@1 and its share of the value at K = 0, below it"
        f" the hijack rate. {rule('seeds')}",
    ):
        console.print(line, highlight=False)
    console.print(training(table, marked, config["epochs"]))
    console.print(by_length(table, marked, config["lengths"]))
    for kind in config["inject"]:
        console.print(by_count(table, marked, kind))
    for line in claims(tests, config["lengths"]):
        console.print(line, highlight=False, markup=False)
    console.print(
        f"\nFiles: {escape(path)}; figure1.html and tradeoff.html show them.", soft_wrap=True, highlight=False
    )


def labelled(summary: pd.DataFrame) -> pd.DataFrame:
    """With a column ``operator``: the pool, and, where a study has several, the training length M and the support K."""
    several = [name for name in UNIT if summary[name].nunique() > 1]
    short = {"train_length": "M", "support": "K"}
    names = summary["pool"].astype(str)
    for name in several:
        names = names + f", {short[name]} = " + summary[name].astype(str)
    return summary.assign(operator=names)


def grid(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name == columns[0] else "right", no_wrap=True)
    return table


def percent(share: float) -> str:
    return f"{share:.0%}" if share < 10 else f"×{share:.0f}"


def cell(rows: pd.DataFrame, marked: pd.DataFrame | None = None) -> str:
    """One place's mean and interval; a dagger if a test of that place is among the marked."""
    row = rows.iloc[0]
    half = "" if pd.isna(row["ci_low"]) else f"±{short((row['ci_high'] - row['ci_low']) / 2)}"
    return f"{short(row['value'])}{' ' if marked is None or not len(marked) else '†'}{half}"


def at(table: pd.DataFrame, operator: str, **place: object) -> pd.DataFrame:
    """Rows of one operator at a place, such as measure="gini", epoch=100."""
    table = table[table["operator"] == operator]
    for column, value in place.items():
        table = table[table[column].astype(str) == str(value)]  # a length is a number, or the word slope
    return table


def training(table: pd.DataFrame, marked: pd.DataFrame, epochs: int) -> Table:
    """After the last epoch, the study's figures below; the Gini's range over all measured epochs from the fifth on."""
    out = grid("after training", "Gini", "from epoch 5", "R@1 train", "R@1 held-out")
    for operator in dict.fromkeys(table["operator"]):
        mine = at(table, operator)
        study = STUDY.get(operator)
        gini = at(mine, operator, measure="gini")
        later = gini[gini["epoch"] >= 5]["value"]
        found = [cell(gini[gini["epoch"] == epochs], at(marked, operator, measure="gini"))]
        found += [f"{short(later.min())}–{short(later.max())} " if len(later) else ""]
        found += [
            cell(at(mine, operator, measure="recall", split=split, epoch=epochs)) for split in ("train", "heldout")
        ]
        out.add_row(escape(operator).replace(", M", "\n  M").replace(", K", "\n  K"), *found)
        if study:
            out.add_row("  the study", study[0], "", "", study[1], style="dim")
    return out


def by_length(table: pd.DataFrame, marked: pd.DataFrame, lengths: list[int]) -> Table:
    """Held-out Recall@1 at every length, and its change for each doubling."""
    places = [*map(str, lengths), *([SLOPE] if len(lengths) > 1 else [])]
    out = grid("R@1 held-out", *(f"M = {length}" for length in lengths), *places[len(lengths) :])
    for operator in dict.fromkeys(table["operator"]):
        cells = []
        for one in places:
            place = {"measure": "recall", "split": "heldout", "length": one}
            found, dagger = at(table, operator, **place), at(marked, operator, **place)
            cells.append(cell(found if one != SLOPE else found.assign(ci_low=float("nan")), dagger))
        out.add_row(escape(operator).replace(", M", "\n  M").replace(", K", "\n  K"), *cells)
    return out


def by_count(table: pd.DataFrame, marked: pd.DataFrame, kind: str) -> Table:
    """Recall@1 under one kind of injection and the share retained; the hijack rate below."""
    attacked = table[table["inject"] == kind]
    counts = sorted(set(attacked["count"].dropna()))
    out = grid(f"R@1, {kind}", *(f"K = {count}" for count in counts))
    for operator in dict.fromkeys(table["operator"]):
        cells = []
        for count in counts:
            place = {"inject": kind, "count": count}
            value, kept, held = (
                at(attacked, operator, measure=name, **place)["value"].tolist()
                for name in ("recall", "retained", "hijack_rate")
            )
            dagger = "†" if len(at(marked, operator, measure="retained", **place)) else " "
            share = f" {percent(kept[0])}{dagger}" if count and kept else " "
            cells.append(f"{short(value[0])}{share}" + (f"\n{held[0]:.0%} " if count and held else ""))
        out.add_row(escape(operator).replace(", M", "\n  M").replace(", K", "\n  K"), *cells)
    return out


def claims(tests: pd.DataFrame, lengths: list[int]) -> Iterator[str]:
    """The study's claims that this run can judge, each with the test that judges it."""
    for operator, verdicts in judged(tests, lengths).items():
        yield f"\n{operator} against maxsim, {'as the study claims' if operator in STUDY else 'by the same tests'}:"
        yield from (f"  {one.claim}: {one.word}{one.numbers}" for one in verdicts)


@dataclass(frozen=True)
class Verdict:
    """What a test says of a claim: holds, the contrary holds, no difference seen, not tested.

    sign: of the difference that the claim expects; test: None where there is none.
    """

    claim: str
    sign: int
    test: Tested | None = None
    interval: str = ""

    @property
    def word(self) -> str:
        if self.test is None or self.test.p is None:
            return "not tested"
        if not self.test.significant:
            return "no difference seen"
        return "holds" if self.test.difference * self.sign > 0 else "the contrary holds"

    @property
    def numbers(self) -> str:
        """The paired difference with its interval and corrected p, or why it was not tested."""
        if self.test is None:
            return " (no seed has both values)"
        if self.test.p is None:
            return f" ({self.test.numbers}: {self.test.why('seeds')})"
        return f" ({self.test.difference:+.3f} {self.interval}, Holm-corrected {p_text(self.test.p)})"


def judged(tests: pd.DataFrame, lengths: list[int]) -> dict[str, list[Verdict]]:
    """By operator the study's claims of it against MaxSim."""
    against, found = tests[tests["baseline"] == "maxsim"], {}
    for operator in dict.fromkeys(against["operator"]):
        mine = against[against["operator"] == operator]
        recall = mine[(mine["measure"] == "recall") & (mine["split"] == "heldout")]
        found[operator] = [
            verdict("maxsim concentrates gradients more", mine[mine["measure"] == "gini"], -1),
            verdict("maxsim falls faster as documents grow (slope)", recall[recall["length"] == SLOPE], +1),
        ]
        if operator.startswith("softmax"):
            at_length = {length: recall[recall["length"] == str(length)] for length in lengths}
            found[operator] += [
                verdict(f"softmax is lower at M = {length}", tested, -1) for length, tested in at_length.items()
            ]
        else:
            longest = recall[recall["length"] == str(max(lengths))]
            found[operator].append(verdict(f"it is ahead at M = {max(lengths)}", longest, +1))
    return found


def verdict(claim: str, rows: pd.DataFrame, sign: int) -> Verdict:
    """A claim and the test of it."""
    if not len(rows):
        return Verdict(claim, sign)
    row = rows.iloc[0]
    return Verdict(claim, sign, tested(rows)[0], f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]")
