"""What sections share: the registry, the opening lines, and what an older run does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pandas as pd

from harness.records import Manifest
from harness.registry import Registry
from harness.reports.claims import LEVEL, rule
from harness.reports.content import Section
from harness.reports.reading import FinishedRun

SECTIONS: Registry[Callable[[FinishedRun, str], Section]] = Registry("section")

EXTRAS = {
    "texts.parquet": "no texts.parquet: queries are shown by their ids, and ranks of relevant documents are left out",
    "alignment.parquet": "no alignment.parquet: the token alignment is left out",
}


def section(run: FinishedRun, name: str) -> Section:
    """What a report holds of a run. Raises OptionError if no section is made of such runs."""
    return SECTIONS[run.kind](run, name)


def opening(run: FinishedRun, n: int | None, unit: str = "queries") -> tuple[str, ...]:
    """The question in a line, and the run's notes."""
    config = run.manifest.config
    counted = f", {n:,} {unit}" if n is not None else ""
    asked = f"{config['dataset']}, split {config['split']}{counted}, checkpoint {config['checkpoint']}."
    return (asked, *notes(run.manifest))


def reading(text: str, baseline: str, unit: str = "queries") -> str:
    """How tables are read, with what their tests need."""
    return f"{text.format(baseline=baseline)} {rule(unit)}"


def notes(manifest: Manifest) -> Iterator[str]:
    for note in manifest.notes:
        yield f"Note: {note}."


def missing(run: FinishedRun, wanted: Iterable[str]) -> tuple[str, ...]:
    """A line on each file that this run, made by an older version, does not hold; or that texts were not wanted."""
    if not run.quotes:
        return ("The corpus's texts and tokens are left out; harness report without --no-texts shows them.",)
    return tuple(
        f"This run has {EXTRAS[name]}; the same command writes it." for name in wanted if not (run.path / name).exists()
    )


def significant(tests: pd.DataFrame, *columns: str) -> set[tuple[str, ...]]:
    """Where a pool (or run) differs from the baseline: the values of the columns, as text."""
    found = tests[tests["p_holm"] < LEVEL]
    return set(zip(*(found[name].astype(str) for name in columns), strict=True))
