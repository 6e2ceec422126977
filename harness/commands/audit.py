"""``harness audit``: the laws of a correct scorer, against anyone's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from harness import audit, readers
from harness.commands.context import RunContext
from harness.options import Config, option
from harness.reports.formats import terminal
from harness.reports.sections.audit import build


@dataclass(frozen=True)
class AuditConfig(Config):
    """``harness audit``."""

    command = "audit"

    target: str = option(
        "", readers.text, "A package.module:function, or one of `harness list scorers`.", argument=True
    )
    pool: str = option("maxsim", readers.text, "The aggregator that the scorer claims to be, e.g. topk:4.")
    dim: int | None = option(
        None, readers.whole(1), "Dimensions of all vectors, for a scorer that takes only these.", "1 to 128"
    )
    format: str | None = option(
        None, readers.known(("json",)), "Print json, for machines.", "none: a table", running=True
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        if not values.get("target"):
            yield "give a scorer: package.module:function, or one of `harness list scorers`"


CONFIG = AuditConfig


def run(config: AuditConfig, context: RunContext) -> audit.Audit:
    """Check a late-interaction scorer: which laws hold, and the smallest case found that breaks each of the others.

    A function takes a query (t, d) and a list of documents (p, d), numpy float32, and returns one score per document.
    Exit code 0 if all laws hold, 1 if one does not, 2 if the scorer cannot be loaded.
    """
    return audit.audit(config.target, config.pool, config.dim)


def show(done: audit.Audit, config: AuditConfig, console: Console) -> int:
    """Print which laws hold, or JSON; 1 if one does not."""
    if config.format:
        print(json.dumps(done.record(), indent=1))
    else:
        terminal.show(build(done), console)
    return int(not done.holds)
