"""The resolved question of a command: every option checked, all mistakes reported at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from harness.errors import OptionError, Problems, examples, first_line, unknown


@dataclass(frozen=True)
class Question:
    """What every command is asked; how it is answered (device, engine, output) is not part of the question."""

    command: ClassVar[str]

    dataset: str = "stdlib"
    split: str | None = None
    checkpoint: str = "minilm"
    pool: tuple[str, ...] = ("maxsim",)
    limit: int | None = None
    seed: int = 0
    dtype: str = "float32"

    def plain(self) -> dict[str, Any]:
        """As YAML holds it."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True)
class Reranking(Question):
    """What commands that rerank candidates are asked besides."""

    candidates: str = "faiss"
    index: str = "auto"
    depth: int = 100
    measures: tuple[str, ...] = ("nDCG@10", "R@1", "R@10")


@dataclass(frozen=True)
class EvalConfig(Reranking):
    """``harness eval``."""

    command = "eval"

    lengths: tuple[int, ...] = (32, 64, 128, 256)
    arms: tuple[str, ...] = ("truncate", "pad")
    evidence: int | None = None
    fill: str = "distractor"


@dataclass(frozen=True)
class StressConfig(Reranking):
    """``harness stress``."""

    command = "stress"

    inject: tuple[str, ...] = ("hard", "spike", "gaussian")
    counts: tuple[int, ...] = (0, 25, 50, 100, 200, 400)
    cosine: float = 0.6
    tokens: int = 4


@dataclass(frozen=True)
class GradientsConfig(Question):
    """``harness gradients``."""

    command = "gradients"

    lengths: tuple[int, ...] = (64, 128, 256, 512)
    pairs: int = 160


LONGEST = 100_000  # patches of a document, own or injected

Q = TypeVar("Q", bound=Question)


def names(kind: type[Question]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def read_config(kind: type[Question], path: Path) -> dict[str, Any]:
    """Options from a YAML file; a run's ``config.yaml`` is one. Raises OptionError naming unknown keys."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # PyYAML lets ValueErrors of values through
        raise OptionError(f"config {path}: {first_line(error)}") from None
    if not isinstance(given, dict):
        raise OptionError(f"config {path}: must be keys and values, one option a line")
    command = given.pop("command", kind.command)
    if command != kind.command:
        raise OptionError(f"config {path} is of `harness {command}`, not of `harness {kind.command}`")
    if wrong := [str(key) for key in given if key not in names(kind)]:
        raise OptionError(*(f"config {path}: {unknown('option', key, names(kind))}" for key in wrong))
    return given


def resolve(kind: type[Q], **given: Any) -> Q:
    """Check every option and fill in defaults; None means not given. Raises OptionError with all mistakes."""
    if wrong := [key for key in given if key not in names(kind)]:
        raise OptionError(*(unknown("option", key, names(kind)) for key in wrong))
    values = {field.name: field.default for field in dataclasses.fields(kind)}
    values |= {key: value for key, value in given.items() if value is not None}
    problems = Problems()
    found: dict[str, Any] = {}
    for name, value in values.items():
        with problems:
            found[name] = None if value is None else _READERS[name](value, problems)
    with problems:
        found["split"] = _split(values["dataset"], found.get("split"))
    _check_depth(found, problems)
    problems.stop(OptionError)
    return kind(**found)


def _split(dataset: Any, split: str | None) -> str:
    from harness import corpora

    card = corpora.check(str(dataset), split)
    return split or card.splits[0]


def _check_depth(found: dict[str, Any], problems: Problems) -> None:
    from harness import metrics

    depth = found.get("depth") or 0
    deep = {name: cut for name in found.get("measures", ()) if (cut := metrics.cutoff(name) or 0) > depth > 0}
    if deep:
        problems.add(f"measures {examples(deep)} look deeper than depth {depth}; give --depth {max(deep.values())}")


def _each(key: str, read: Callable[[str], Any]) -> Callable[[Any, Problems], tuple]:
    """A reader of text with commas (not those inside parentheses) or a list; a part given twice is a mistake."""

    def reader(value: Any, problems: Problems) -> tuple:
        parts = (
            re.split(r",(?![^()]*\))", value)
            if isinstance(value, str)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        found: list[Any] = []
        for part in map(str, parts):
            with problems:
                if not part.strip():
                    raise OptionError(f"{key}: an empty entry in {str(value)[:80]!r}")
                item = read(part.strip())
                if item in found:
                    raise OptionError(f"{key}: {item} is given twice")
                found.append(item)
        if not parts:
            problems.add(f"{key}: nothing given")
        return tuple(sorted(found) if found and isinstance(found[0], int) else found)

    return reader


def _whole(noun: str, least: int, most: int = 10**9) -> Callable[[Any], int]:
    """A reader of a whole number, from text or from YAML."""

    def read(value: Any) -> int:
        text = str(value).strip()
        if not re.fullmatch(r"[-+]?[0-9]+", text):
            raise OptionError(f"{noun} {text[:40]!r} is not a whole number")
        if len(text) > 12 or int(text) > most:
            raise OptionError(f"{noun} {text[:12]} must be at most {most:,}")
        if int(text) < least:
            raise OptionError(f"{noun} {text} must be at least {least}")
        return int(text)

    return read


def _known(noun: str, known: Callable[[], Iterable[str]]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in list(known()):
            raise OptionError(unknown(noun, str(value), known()))
        return str(value)

    return read


def _cosine(value: Any) -> float:
    try:
        cosine = float(value)
    except (TypeError, ValueError):
        raise OptionError(f"cosine {str(value)[:40]!r} is not a number") from None
    if not -1 <= cosine <= 1:
        raise OptionError(f"cosine {cosine} must be between -1 and 1")
    return cosine


def _pool(spec: str) -> str:
    from harness.aggregators import AGGREGATORS

    return str(AGGREGATORS.make(spec))


def _measure(name: str) -> str:
    from harness import metrics

    return str(metrics.parse(name))


def _checkpoint(value: Any) -> str:
    from harness import encoders

    encoders.check(str(value))
    return str(value)


def _registered(noun: str, module: str, attribute: str) -> Callable[[Any], str]:
    """A reader of a name that a room registers; the room is imported when a value is read."""
    import importlib

    return _known(noun, lambda: getattr(importlib.import_module(f"harness.{module}"), attribute))


def _one(read: Callable[[Any], Any]) -> Callable[[Any, Problems], Any]:
    return lambda value, _: read(value)


_READERS: dict[str, Callable[[Any, Problems], Any]] = {
    "dataset": _one(str),
    "split": _one(str),
    "checkpoint": _one(_checkpoint),
    "pool": _each("pool", _pool),
    "lengths": _each("lengths", _whole("length", 1, LONGEST)),
    "counts": _each("counts", _whole("count", 0, LONGEST)),
    "arms": _each("arms", _registered("arm", "lengths", "ARMS")),
    "inject": _each("inject", _registered("injection", "injection", "INJECTIONS")),
    "measures": _each("measures", _measure),
    "fill": _one(_registered("fill", "lengths", "FILLS")),
    "candidates": _one(_registered("candidates", "candidates", "SOURCES")),
    "dtype": _one(_registered("dtype", "encoders", "DTYPES")),
    "index": _one(str),
    "cosine": _one(_cosine),
    "evidence": _one(_whole("evidence", 1)),
    "depth": _one(_whole("depth", 1)),
    "limit": _one(_whole("limit", 1)),
    "pairs": _one(_whole("pairs", 2)),
    "tokens": _one(_whole("tokens", 1)),
    "seed": _one(_whole("seed", 0)),
}
