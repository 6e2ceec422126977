"""The resolved question of a command: every option checked, all mistakes reported at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import yaml

from harness.config.questions import (
    EvalConfig,
    GradientsConfig,
    PlanConfig,
    Question,
    Reranking,
    Retrieval,
    StressConfig,
    SynthConfig,
    TrainConfig,
)
from harness.config.readers import READERS
from harness.errors import OptionError, Problems, first_line, unknown
from harness.files import plain_yaml

__all__ = ["EvalConfig", "GradientsConfig", "Question", "Reranking", "Retrieval", "StressConfig", "SynthConfig"]
__all__ += ["PlanConfig", "TrainConfig"]
__all__ += ["Q", "read_config", "resolve"]

Q = TypeVar("Q", bound=Question)


def names(kind: type[Question]) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def read_config(kind: type[Question], path: Path) -> dict[str, Any]:
    """Options from a YAML file; a run's ``config.yaml`` is one. Raises OptionError naming unknown keys."""
    try:
        given = plain_yaml(path)
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
        before = len(problems.found)
        with problems:
            read = None if value is None else READERS[name](value, problems)
            if len(problems.found) == before:
                found[name] = read
    if "dataset" in values:
        from harness import corpora

        with problems:
            card = corpora.check(str(values["dataset"]), found.get("split"))
            found["split"] = found.get("split") or card.splits[0]
            if given.get("checkpoint") is None and card.checkpoint:
                found["checkpoint"] = card.checkpoint
    for line in kind.mistakes(found):
        problems.add(line)
    problems.stop(OptionError)
    return kind(**found)
