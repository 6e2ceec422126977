"""The registry of the formats that are files."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

from harness.registry import Registry
from harness.reports.content import Report

Files = Iterator[tuple[str, bytes]]
Writer = Callable[[Report], Files]
FORMATS: Registry[Writer] = Registry("format")


def formats() -> Registry[Writer]:
    """Every format, imported when one is asked for."""
    for name in ("csv", "exports", "images", "latex", "markdown", "page"):
        importlib.import_module(f"harness.reports.formats.{name}")
    return FORMATS
