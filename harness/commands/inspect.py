"""``harness inspect``: what was read of a dataset, before anything is computed."""

from __future__ import annotations

from dataclasses import replace

from harness import encoders
from harness.corpora.inspection import Inspection
from harness.corpora.inspection import inspect as inspect_dataset
from harness.progress import Stages

SAMPLE = 1_000  # documents and queries whose tokens are counted, spread evenly
NONE = "none"


def inspect(
    dataset: str, *, split: str | None = None, checkpoint: str = "minilm", strict: bool = False, progress: bool = False
) -> Inspection:
    """Layout, files, counts, lengths, duplicates, notes and first rows of a dataset. Raises HarnessError.

    checkpoint: whose tokens are counted; ``none`` counts words alone; strict: what is untidy is an error.
    """
    stages = Stages(progress)
    with stages("load dataset"):
        found, loaded = inspect_dataset(dataset, split, strict)
    if checkpoint == NONE:
        return found
    with stages("load checkpoint"):
        encoder = encoders.load(checkpoint, "float32", "cpu")
    if getattr(encoder, "reads", "text") != "text":
        return found
    tokens = {}
    for noun, items in (("document", loaded.documents), ("query", loaded.queries)):
        texts = [item.text for item in items[:: -(-len(items) // SAMPLE)] if item.text.strip()]
        with stages(f"count tokens of {noun}", len(texts), "texts") as advance:
            tokens[noun] = [len(encoder.tokens(text, noun)) for text in texts]
            advance(len(texts))
    return replace(found, checkpoint=checkpoint, tokens={noun: counts for noun, counts in tokens.items() if counts})
