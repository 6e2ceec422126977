"""The resolved question of a command: every option checked, all mistakes reported at once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.errors import OptionError, Problems, examples, first_line, unknown

DEFAULTS: dict[str, Any] = {
    "dataset": "stdlib",
    "split": None,
    "checkpoint": "minilm",
    "pool": "maxsim",
    "lengths": "32,64,128,256",
    "arms": "truncate,pad",
    "evidence": None,
    "fill": "distractor",
    "candidates": "faiss",
    "index": "auto",
    "depth": 100,
    "measures": "nDCG@10,R@1,R@10",
    "limit": None,
    "seed": 0,
    "dtype": "float32",
}


@dataclass(frozen=True)
class EvalConfig:
    """What ``harness eval`` is asked; how it is answered (device, engine, output) is not part of the question."""

    dataset: str
    split: str
    checkpoint: str
    pool: tuple[str, ...]
    lengths: tuple[int, ...]
    arms: tuple[str, ...]
    evidence: int | None
    fill: str
    candidates: str
    index: str
    depth: int
    measures: tuple[str, ...]
    limit: int | None
    seed: int
    dtype: str

    def plain(self) -> dict[str, Any]:
        """As YAML holds it."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def read_config(path: Path) -> dict[str, Any]:
    """Options from a YAML file; a run's ``config.yaml`` is one. Raises OptionError naming unknown keys."""
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # PyYAML lets ValueErrors of values through
        raise OptionError(f"config {path}: {first_line(error)}") from None
    if not isinstance(given, dict):
        raise OptionError(f"config {path}: must be keys and values, one option a line")
    given.pop("command", None)
    problems = Problems()
    for key in given:
        if key not in DEFAULTS:
            problems.add(f"config {path}: " + unknown("option", str(key), DEFAULTS))
    problems.stop(OptionError)
    return given


def resolve(**given: Any) -> EvalConfig:
    """Check every option and fill in defaults; None means not given. Raises OptionError with all mistakes."""
    from harness import corpora, encoders, metrics
    from harness.aggregators import AGGREGATORS
    from harness.candidates import SOURCES
    from harness.lengths import ARMS, FILLS

    if extra := [key for key in given if key not in DEFAULTS]:
        raise OptionError(*(unknown("option", key, DEFAULTS) for key in extra))
    asked = DEFAULTS | {key: value for key, value in given.items() if value is not None}
    problems = Problems()

    def each(key: str, read: Callable[[str], Any]) -> tuple:
        return _each(key, asked[key], read, problems)

    def known(noun: str, names: Iterable[str]) -> Callable[[str], str]:
        return lambda name: _known(noun, name, names)

    def one(key: str, read: Callable[[Any], Any]) -> Any:
        with problems:
            return read(asked[key])

    split = None if asked["split"] is None else str(asked["split"])
    card = one("dataset", lambda name: corpora.check(str(name), split))
    one("checkpoint", lambda name: encoders.check(str(name)))
    config = EvalConfig(
        dataset=str(asked["dataset"]),
        split=split or (card.splits[0] if card else ""),
        checkpoint=str(asked["checkpoint"]),
        pool=each("pool", lambda spec: str(AGGREGATORS.make(spec))),
        lengths=tuple(sorted(each("lengths", lambda text: _whole("length", text, 1)))),
        arms=each("arms", known("arm", ARMS)),
        evidence=one("evidence", lambda value: None if value is None else _whole("evidence", value, 1)),
        fill=one("fill", known("fill", FILLS)),
        candidates=one("candidates", known("candidates", SOURCES)),
        index=str(asked["index"]),
        depth=one("depth", lambda value: _whole("depth", value, 1)),
        measures=each("measures", lambda name: str(metrics.parse(name))),
        limit=one("limit", lambda value: None if value is None else _whole("limit", value, 1)),
        seed=one("seed", lambda value: _whole("seed", value, 0)),
        dtype=one("dtype", known("dtype", encoders.DTYPES)),
    )
    deep = [name for name in config.measures if config.depth and (metrics.cutoff(name) or 0) > config.depth]
    if deep:
        problems.add(f"measures {examples(deep)} look deeper than depth {config.depth}; give --depth {_deepest(deep)}")
    problems.stop(OptionError)
    return config


def _deepest(measures: list[str]) -> int:
    from harness import metrics

    return max(metrics.cutoff(name) or 0 for name in measures)


def _each(key: str, value: Any, read: Callable[[str], Any], problems: Problems) -> tuple:
    """Every part of a comma-separated list, each checked by itself; a repeated one is a mistake."""
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    found: list[Any] = []
    for part in map(str, parts):
        with problems:
            if not part.strip():
                raise OptionError(f"{key}: an empty entry in {value!r}")
            item = read(part.strip())
            if item in found:
                raise OptionError(f"{key}: {item} is given twice")
            found.append(item)
    if not parts:
        problems.add(f"{key}: nothing given")
    return tuple(found)


def _known(noun: str, name: Any, names: Iterable[str]) -> str:
    if name not in list(names):
        raise OptionError(unknown(noun, str(name), names))
    return str(name)


def _whole(noun: str, value: Any, least: int) -> int:
    """A whole number, from text or from YAML."""
    text = str(value).strip()
    if not re.fullmatch(r"[-+]?[0-9]+", text):
        raise OptionError(f"{noun} {text[:40]!r} is not a whole number")
    if len(text) > 9:
        raise OptionError(f"{noun} {text[:12]}… is beyond anything this program can hold")
    if int(text) < least:
        raise OptionError(f"{noun} {text} must be at least {least}")
    return int(text)
