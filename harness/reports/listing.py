"""``harness list``: what can be named on the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.errors import OptionError, unknown

Rows = Iterator[tuple[str, ...]]


def datasets(_: Path, match: str = "") -> Rows:
    """A benchmark of many is one line, unless some are asked for; ``all`` asks for every dataset."""
    from harness import corpora

    groups: dict[str, list[str]] = {}
    for name, card in sorted(corpora.datasets().items()):
        counts = (f"{count:,}" if count else "" for count in (card.documents, card.queries, card.document_length))
        if card.group and not match:
            groups.setdefault(card.group, []).append(name)
        elif match in ("", "all") or match in f"{name} {card.group} {card.about}".lower():
            yield name, *counts, card.about
    for group, names in groups.items():
        yield f"{group}-…", "", "", "", f"{len(names)} datasets"


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


LISTS: dict[str, tuple[Callable[..., Rows], tuple[str, ...]]] = {
    "datasets": (datasets, ("dataset", "documents", "queries", "length", "what it is")),
    "pools": (pools, ("pool", "what it does")),
    "fills": (fills, ("fill", "what it is")),
    "checkpoints": (checkpoints, ("checkpoint", "what it is")),
    "scorers": (scorers, ("scorer", "what `harness audit` calls")),
    "runs": (runs, ("run", "state")),
}


NUMBERS = ("documents", "queries", "length")


def show(what: str, output: Path, console: Console, match: str = "") -> None:
    """Print one list or all, one line for each thing. Raises OptionError on another word, or if no dataset matches."""
    if match and what != "datasets":
        raise OptionError(f"harness list {what} takes no second word; harness list datasets {match} finds datasets")
    if what != "all" and what not in LISTS:
        raise OptionError(unknown("list", what, LISTS))
    for name in LISTS if what == "all" else [what]:
        found, columns = LISTS[name]
        rows = [columns, *(found(output, match.lower()) if match else found(output))]
        if match and len(rows) == 1:
            raise OptionError(
                f"no dataset has {match!r} in its name, its benchmark or what it is; all are listed by all"
            )
        benchmarks = name == "datasets" and not match and any("…" in row[0] for row in rows)
        title = f"{name} (those of a benchmark: harness list datasets nanobeir; or all)" if benchmarks else name
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for at, column in enumerate(columns):
            justify: Literal["left", "right"] = "right" if column in NUMBERS else "left"
            last = at == len(columns) - 1
            whole = None if last else max(len(row[at]) for row in rows)  # what is cut at the width is the description
            table.add_column(column, justify=justify, min_width=whole, no_wrap=name == "datasets" or not last)
        for row in rows[1:]:
            table.add_row(*map(escape, row))
        console.print(table)


def _claim(plugin: object) -> str:
    return (inspect.getdoc(plugin) or "").splitlines()[0]
