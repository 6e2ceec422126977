"""The registry of formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.registry import Registry
from harness.reports.content import Report

Files = Iterator[tuple[str, bytes]]
Writer = Callable[[Report], Files]
FORMATS: Registry[Writer] = Registry("format")
