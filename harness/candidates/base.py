"""The registry of candidate sources, and what a source is given and gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.engines.base import Map, serial
from harness.errors import OptionError
from harness.progress import Stages
from harness.records import Dataset, MultiVectors
from harness.registry import Registry


@dataclass(frozen=True)
class Search:
    """What a candidate source may look at; ``depth`` is how many documents a query it should return at most.

    device: where FAISS searches if it can; strict: what is untidy in a source's own file is an error; argument: what
    follows the source's name; engine, wide: where shards are indexed and queries searched, and where an
    index is trained (see harness.engines.base).
    """

    dataset: Dataset
    vectors: MultiVectors
    queries: MultiVectors
    depth: int
    index: str
    stages: Stages
    root: Path
    device: str = "cpu"
    engine: Map = serial
    wide: Map | None = None
    strict: bool = False
    argument: str = ""


class Ranked(NamedTuple):
    """What a source gives: rows int64 (Q, any), best first, −1 where empty; notes: what a run must say of them."""

    rows: np.ndarray
    notes: Sequence[str] = ()


Source = Callable[[Search], Ranked]

SOURCES: Registry[Source] = Registry("candidates")


@dataclass(frozen=True)
class Traits:
    """What a source is like, for the cache and for what a run says of it.

    of_text: it looks at texts, never at vectors; packages: what it finds depends on their versions; ranked: its order
    means something, and it is cut at the depth; label: its name in a run, with what it resolved; argument: what must
    follow its name and a colon, if anything; check: raises OptionError on a wrong one; fingerprint: of what it names.
    """

    of_text: bool = False
    packages: tuple[str, ...] = ()
    ranked: bool = True
    cached: bool = True
    label: Callable[[Search], str] | None = None
    argument: str = ""
    check: Callable[[str], None] | None = None
    fingerprint: Callable[[str], str] | None = None


TRAITS: dict[str, Traits] = {}


def parse(spec: str) -> tuple[str, str]:
    """A source's name and its argument, such as ``ranking`` and a file. Raises OptionError if they do not fit."""
    name, colon, argument = spec.partition(":")
    SOURCES[name]
    traits = TRAITS.get(name, Traits())
    if traits.argument and not argument:
        raise OptionError(f"candidates {name}: which? give {usage(name)}")
    if colon and not traits.argument:
        raise OptionError(f"candidates {spec!r}: {name} takes nothing after a colon; give {name}")
    if traits.check:
        traits.check(argument)
    return name, argument


def usage(name: str) -> str:
    """How a source is written: its name, and what must follow it."""
    argument = TRAITS.get(name, Traits()).argument
    return f"{name}:{argument}" if argument else name


def fingerprints(spec: str) -> dict[str, str]:
    """What names the content of a source's own file, for a run's folder and manifest."""
    name, argument = parse(spec)
    fingerprint = TRAITS.get(name, Traits()).fingerprint
    return {"candidates": fingerprint(argument)} if fingerprint else {}


def short(spec: str) -> str:
    """A spec as part of a path: of a file its last name."""
    name, colon, argument = spec.partition(":")
    return name + colon + Path(argument).name


def source(name: str, traits: Traits) -> Callable[[Source], Source]:
    """Register a source that is not like most, whose traits are the defaults."""
    TRAITS[name] = traits
    return SOURCES.register(name)


def best(scores: np.ndarray, places: np.ndarray, depth: int) -> np.ndarray:
    """Rows of the best scores, best first: (Q, n) → int64 (Q, depth or n); equal ones by their places (n)."""
    if depth >= scores.shape[1]:
        return np.lexsort((np.broadcast_to(places, scores.shape), -scores), axis=1)
    least = np.partition(scores, -depth, axis=1)[:, -depth]
    near = [np.flatnonzero(mine >= bound) for mine, bound in zip(scores, least, strict=True)]
    return np.stack(
        [rows[np.lexsort((places[rows], -mine[rows]))[:depth]] for mine, rows in zip(scores, near, strict=True)]
    )


def filled(documents_by_query: Sequence[np.ndarray], depth: int) -> np.ndarray:
    rows = np.full((len(documents_by_query), depth), -1, np.int64)
    for query, documents in enumerate(documents_by_query):
        rows[query, : min(len(documents), depth)] = documents[:depth]
    return rows
