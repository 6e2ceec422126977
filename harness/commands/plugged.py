"""The plug-ins of other packages that a question uses: their code is part of the question."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from harness import corpora, encoders
from harness.encoders import Encoder
from harness.options import Config
from harness.plugins import origin, outside
from harness.registry import Registry

OPTIONS = {
    "pool": "aggregators.AGGREGATORS",
    "arms": "vectors.arms.ARMS",
    "fill": "vectors.fills.FILLS",
    "inject": "vectors.injections.INJECTIONS",
    "candidates": "candidates.SOURCES",
    "start": "training.projection.BEGINNINGS",
    "format": "encoders.formats.FORMATS",
}
"""Options whose values name plug-ins, and where these are registered."""


def plugged(config: Config, encoder: Encoder | None = None) -> list[dict[str, Any]]:
    """The plug-ins from outside that a question uses, as plain values; none of those that are only installed."""
    found = []
    for registry, name in _named(config):
        if name in registry and (where := registry.origin(name)):
            found.append({"kind": registry.noun, "name": name, **asdict(where)})
    if encoder is not None and outside(type(encoder)):
        found.append({"kind": "encoder", "name": type(encoder).__name__, **asdict(origin(type(encoder)))})
    return found


def _named(config: Config) -> Iterator[tuple[Registry[Any], str]]:
    """(registry, name) of whatever a question names that can be plugged in."""
    for option, place in OPTIONS.items():
        if value := getattr(config, option, None):
            module, _, attribute = place.rpartition(".")
            registry = getattr(importlib.import_module(f"harness.{module}"), attribute)
            for spec in [value] if isinstance(value, str) else value:
                yield registry, spec.partition(":")[0]
    if dataset := getattr(config, "dataset", None):
        yield corpora.SOURCES, corpora.check(dataset, getattr(config, "split", None)).source
    if checkpoint := getattr(config, "checkpoint", None):
        yield encoders.NAMED, checkpoint
