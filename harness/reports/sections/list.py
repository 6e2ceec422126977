"""The section of ``harness list``: what can be named on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import OptionError, unknown
from harness.reports.content import Section, words

Rows = Iterator[tuple[str, ...]]


def datasets(_: Path) -> Rows:
    from harness import corpora

    for name, card in corpora.datasets().items():
        counts = (f"{count:,}" if count else "" for count in (card.documents, card.queries, card.document_length))
        yield name, *counts, card.about


def pools(_: Path) -> Rows:
    from harness.aggregators import AGGREGATORS

    for name in AGGREGATORS:
        yield str(AGGREGATORS.make(name)), _claim(AGGREGATORS[name])


def fills(_: Path) -> Rows:
    from harness.vectors.lengths import FILLS

    for name in FILLS:
        yield name, _claim(FILLS[name])


def checkpoints(_: Path) -> Rows:
    from harness.encoders import EMBEDDED, NAMED

    for name, embedded in EMBEDDED.items():
        yield name, embedded.about
    for name in NAMED:
        yield name, _claim(NAMED[name])
    yield (
        "FOLDER",
        "a local checkpoint: Stanford ColBERT, PyLate, ColPali and its kin, or any encoder of Hugging Face's",
    )
    yield "embeddings:FOLDER", "vectors you computed: documents.safetensors or .npz, and queries (see the README)"
    yield "ORG/MODEL", "a checkpoint of the hub"


def scorers(_: Path) -> Rows:
    from harness.audit import SCORERS

    for name in SCORERS:
        yield name, _claim(SCORERS[name])
    yield "MODULE:FUNCTION", "a function of yours (see `harness audit --help`)"


def runs(output: Path) -> Rows:
    from harness import runs

    for run in runs.runs(output):
        yield run.path.name, "finished" if run.finished else "unfinished: the same command resumes it"


LISTS: dict[str, tuple[Callable[[Path], Rows], tuple[str, ...]]] = {
    "datasets": (datasets, ("dataset", "documents", "queries", "length", "what it is")),
    "pools": (pools, ("pool", "what it does")),
    "fills": (fills, ("fill", "what it is")),
    "checkpoints": (checkpoints, ("checkpoint", "what it is")),
    "scorers": (scorers, ("scorer", "what `harness audit` calls")),
    "runs": (runs, ("run", "state")),
}


NUMBERS = ("documents", "queries", "length")


def build(what: str, output: Path) -> Section:
    """One list or all, one line for each thing. Raises OptionError on another word."""
    if what != "all" and what not in LISTS:
        raise OptionError(unknown("list", what, LISTS))
    chosen = {name: LISTS[name] for name in (LISTS if what == "all" else [what])}
    return Section(
        "", tables=tuple(words(name, columns, rows(output), NUMBERS) for name, (rows, columns) in chosen.items())
    )


def _claim(plugin: object) -> str:
    return (inspect.getdoc(plugin) or "").splitlines()[0]
