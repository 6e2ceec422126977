"""``harness inspect``: what was read of a dataset, before anything is computed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from harness import encoders, readers
from harness.commands.context import RunContext
from harness.commands.questions import Strict
from harness.corpora.inspection import Inspection
from harness.corpora.inspection import inspect as inspect_dataset
from harness.options import option
from harness.reports.formats import terminal
from harness.reports.sections.inspect import build

SAMPLE = 1_000  # documents and queries whose tokens are counted, spread evenly
NONE = "none"


@dataclass(frozen=True)
class InspectConfig(Strict):
    """``harness inspect``."""

    command = "inspect"

    dataset: str = option(
        "", readers.text, "A name, a folder, or owner/name[@revision] of the hub, or irds:ID.", argument=True
    )
    split: str | None = option(None, readers.text, "Which judged split to use.", "the dataset's first")
    checkpoint: str = option("minilm", readers.text, "The checkpoint whose tokens are counted; none counts only words.")
    format: str | None = option(
        None, readers.known(("json",), "format"), "Print json, for machines.", "none: text", running=True
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        if not values.get("dataset"):
            yield "give a dataset: a name, a folder, or owner/name of the hub"


CONFIG = InspectConfig


def run(config: InspectConfig, context: RunContext) -> Inspection:
    """Show what was read of a dataset: layout, files, counts, lengths, duplicates, notes and first rows."""
    stages, checkpoint = context.stages, config.checkpoint
    with stages("load dataset"):
        inspected, loaded = inspect_dataset(config.dataset, config.split, config.strict)
    if checkpoint == NONE:
        return inspected
    with stages("load checkpoint"):
        encoder = encoders.load(checkpoint, "float32", "cpu")
    if getattr(encoder, "reads", "text") != "text":
        return inspected
    tokens = {}
    for noun, items in (("document", loaded.documents), ("query", loaded.queries)):
        texts = [item.text for item in items[:: -(-len(items) // SAMPLE)] if item.text.strip()]
        with stages(f"count tokens of {noun}", len(texts), "texts") as advance:
            tokens[noun] = [len(encoder.tokens(text, noun)) for text in texts]
            advance(len(texts))
    return replace(inspected, checkpoint=checkpoint, tokens={noun: counts for noun, counts in tokens.items() if counts})


def show(inspected: Inspection, config: InspectConfig, console: Console) -> int:
    """Print what was found, or JSON."""
    if config.format:
        print(json.dumps(inspected.record(), ensure_ascii=False, indent=1))
    else:
        terminal.show(build(inspected), console)
    return 0
