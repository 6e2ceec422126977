"""The section of ``harness list``: what can be named on the command line."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.errors import OptionError, unknown
from harness.reports.content import Section, words

Rows = Iterable[tuple[str, ...]]


def datasets(_: Path, match: str = "") -> Rows:
    """A benchmark of many is one line, unless some are asked for; ``all`` asks for every dataset."""
    from harness import corpora

    groups: dict[str, int] = {}
    for name, card in sorted(corpora.datasets().items()):
        counts = (f"{count:,}" if count else "" for count in (card.documents, card.queries, card.document_length))
        if card.group and not match:
            groups[card.group] = groups.get(card.group, 0) + 1
        elif match in ("", "all") or match in f"{name} {card.group} {card.description}".lower():
            yield name, *counts, card.description
    for group, count in groups.items():
        yield f"{group}-…", "", "", "", f"{count} datasets"


def pools(_: Path) -> Rows:
    from harness.aggregators import AGGREGATORS

    return ((str(AGGREGATORS.make(name)), claim) for name, claim in registered("aggregators:AGGREGATORS"))


def arms(_: Path) -> Rows:
    return registered("vectors.arms:ARMS")


def candidates(_: Path) -> Rows:
    from harness.candidates import usage

    return ((usage(name), claim) for name, claim in registered("candidates:SOURCES"))


def fills(_: Path) -> Rows:
    return registered("vectors.fills:FILLS")


def checkpoints(_: Path) -> Rows:
    from harness.encoders import EMBEDDED

    yield from ((name, embedded.description) for name, embedded in EMBEDDED.items())
    yield from registered("encoders:NAMED")
    kinds = "a local checkpoint: Stanford ColBERT, PyLate, ColPali and its kin, or any encoder of Hugging Face's"
    yield "FOLDER", kinds
    yield (
        "embeddings:FOLDER",
        "vectors you computed: documents.safetensors or .npz, and queries (docs/checkpoints.md)",
    )
    yield "ORG/MODEL", "a checkpoint of the hub"


def scorers(_: Path) -> Rows:
    yield from registered("audit:SCORERS")
    yield "MODULE:FUNCTION", "a function of yours (see `harness audit --help`)"


def registered(place: str) -> Iterator[tuple[str, str]]:
    """What a room registers, with the claim that its docstring begins with."""
    registry = pkgutil.resolve_name(f"harness.{place}")
    for name in registry:
        yield name, (inspect.getdoc(registry[name]) or "").splitlines()[0]


def runs(output: Path) -> Rows:
    from harness import runs

    for run in runs.runs(output):
        yield run.path.name, "finished" if run.finished else "unfinished: the same command resumes it"


LISTS: dict[str, tuple[Callable[[Path], Rows], tuple[str, ...]]] = {
    "datasets": (datasets, ("dataset", "documents", "queries", "length", "what it is")),
    "pools": (pools, ("pool", "what it does")),
    "arms": (arms, ("arm", "what it does")),
    "fills": (fills, ("fill", "what it is")),
    "candidates": (candidates, ("candidates", "what they are")),
    "checkpoints": (checkpoints, ("checkpoint", "what it is")),
    "scorers": (scorers, ("scorer", "what `harness audit` calls")),
    "runs": (runs, ("run", "state")),
}


NUMBERS = ("documents", "queries", "length")


def build(what: str, match: str, output: Path) -> Section:
    """One list or all, one line for each thing. Raises OptionError on another word, or if no dataset matches."""
    if what != "all" and what not in LISTS:
        raise OptionError(unknown("list", what, LISTS))
    if match and what != "datasets":
        raise OptionError(f"harness list {what} takes no second word; harness list datasets {match} finds datasets")
    chosen = {name: LISTS[name] for name in (LISTS if what == "all" else [what])}
    rows = {name: list(listed(output)) for name, (listed, _) in chosen.items() if not match}
    if match and not (found := list(datasets(output, match.lower()))):
        raise OptionError(f"no dataset has {match!r} in its name, its benchmark or what it is; all are listed by all")
    rows = rows or {what: found}
    titles = {"datasets": "datasets; of a benchmark: harness list datasets nanobeir, or all"} if not match else {}
    tables = (words(titles.get(name, name), chosen[name][1], rows[name], NUMBERS) for name in chosen)
    return Section("", tables=tuple(tables))
