"""What sections share: finding a run's builder, the opening lines, rows and cells, and what an older run lacks."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from harness.errors import OptionError, unknown
from harness.records import SLOPE, Manifest
from harness.reports.claims import LEVEL, rule
from harness.reports.content import Cell, Column, Row, RunSection, decimals, interval, share
from harness.reports.reading import FinishedRun

RUNS = ("compare", "eval", "gradients", "stress", "synth")
EXTRAS = {
    "texts.parquet": "no texts.parquet: queries are shown by their ids, and ranks of relevant documents are left out",
    "alignment.parquet": "no alignment.parquet: the token alignment is left out",
}


def section(run: FinishedRun, name: str = "") -> RunSection:
    """What a report holds of a run. Raises OptionError if no section is made of such runs."""
    if run.kind not in RUNS:
        raise OptionError(unknown("section", run.kind, RUNS))
    built: RunSection = importlib.import_module(f"{__package__}.{run.kind}").build(run, name or run.path.name)
    return built


def asked(run: FinishedRun, n: int, unit: str = "queries") -> str:
    """The question in a line, and what the candidates hold."""
    config, of = run.manifest.config, run.manifest.candidates
    line = f"{config['dataset']}, split {config['split']}, {n:,} {unit}, checkpoint {config['checkpoint']}."
    if not of:
        return line
    return f"{line} Candidates: {of['source']}, {of['depth']:,} per query, recall {of['recall']:.3f}."


def notes(manifest: Manifest) -> tuple[str, ...]:
    return tuple(f"Note: {note}." for note in manifest.notes)


def legend(text: str, baseline: str, unit: str = "queries") -> str:
    """How tables are read, with what their tests need."""
    return f"{text.format(baseline=baseline)} {rule(unit)}"


def files(run: FinishedRun, more: str = "") -> tuple[str, ...]:
    return (f"Files: {run.path}{more}",)


def missing(run: FinishedRun, wanted: Iterable[str]) -> tuple[str, ...]:
    """A line on each file that this run, made by an older version, does not hold; or that texts were not wanted."""
    if not run.quotes:
        return ("The corpus's texts and tokens are left out; harness report without --no-texts shows them.",)
    return tuple(
        f"This run has {EXTRAS[name]}; the same command writes it." for name in wanted if not (run.path / name).exists()
    )


Place = int | str
"""A length, a count, or the word slope."""


def significant(tests: pd.DataFrame, across: str) -> set[tuple[str, Place]]:
    """(pool, place) where a pool differs from the baseline."""
    return {(str(row["pool"]), place(row, across)) for row in records(tests[tests["p_holm"] < LEVEL])}


def place(row: Record, across: str) -> Place:
    """Where a row of the tests, or of the summary, belongs."""
    return SLOPE if row.get("statistic") == SLOPE else int(row[across])


def rows_of(names: Iterable[str], places: Sequence[Any], cell: Callable[[str, Any], Cell]) -> tuple[Row, ...]:
    """A row for every pool (or run), a cell for every place."""
    return tuple(Row(name, tuple(cell(name, place) for place in places)) for name in names)


def columns_of(letter: str, places: Iterable[float]) -> tuple[Column, ...]:
    """``L = 32`` and so on."""
    return tuple(Column(f"{letter} = {place:g}", place) for place in places)


Record = Mapping[Any, Any]
"""A row of a table, by column."""

Ends = tuple[float | None, float | None]
"""The ends of an interval, None where there is none."""


def records(rows: pd.DataFrame) -> list[Record]:
    return list(rows.to_dict("records"))


def by_place(rows: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], Record]:
    """Rows by what stands in some columns."""
    return {tuple(row[column] for column in columns): row for row in records(rows)}


def ends(row: Record, low: str = "ci_low", high: str = "ci_high") -> Ends:
    return real(row[low]), real(row[high])


def real(value: Any) -> float | None:
    return float(value) if pd.notna(value) else None


def mean(row: Record, n: str, mark: bool = False, retained: float | None = None) -> Cell:
    """A mean with its interval, and beside it a share retained, if any."""
    value, (low, high) = float(row["value"]), ends(row)
    beside = "" if retained is None else share(retained)
    return Cell(value, decimals(value), retained, beside, low, high, interval(low, high), int(row[n]), mark)


def retained_of(row: Record, n: str, retained: float | None, span: Ends, mark: bool) -> Cell:
    """A mean, and beside it the share retained of the value without injection, with the interval of that share."""
    low, high = span
    value, beside = float(row["value"]), "" if retained is None else share(retained)
    shown = interval(low, high, True) if low is not None and low >= 0 else ""
    return Cell(value, decimals(value), retained, beside, low, high, shown, int(row[n]), mark)


def slug(measure: str) -> str:
    """A measure as part of a file's name: ``nDCG@10`` → ``ndcg-10``."""
    return "".join(letter if letter.isalnum() else "-" for letter in measure.lower()).strip("-")
