"""How much of a collection a checkpoint does not read: what lies beyond the tokens that its model takes."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from harness.encoders.encoding import TextEncoder
from harness.files import cache_folder, write_atomically
from harness.records import Document

LETTERS = 30_000_000  # of the texts that are counted; of more a sample is taken
BATCH = 1000  # texts that are tokenised at once


def notes(encoder: Any, documents: Sequence[Document], fingerprint: str) -> Iterator[str]:
    """A note that says how many documents are cut off, and what share of all tokens that loses.

    fingerprint: of the documents' vectors; what was counted is cached under it.
    """
    if not isinstance(encoder, TextEncoder) or encoder.windows is not None:
        return
    some = sample(documents)
    path = cache_folder() / "cut" / f"{fingerprint}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(count(encoder, [document.text for document in some])).encode())
    longer, lost, tokens = json.loads(path.read_bytes())
    if longer:
        few = f", by a sample of {len(some):,}" if len(some) < len(documents) else ""
        yield (
            f"{longer:,} of {len(some):,} documents are longer than the {encoder.limit:,} tokens that the checkpoint"
            f" takes: {lost / tokens:.1%} of all tokens are cut off{few}; --long windows reads them"
        )


def sample(documents: Sequence[Document]) -> list[Document]:
    """Documents of about LETTERS letters in all, chosen by their ids: their order in a file decides nothing."""
    letters = sum(len(document.text) for document in documents)
    if letters <= LETTERS:
        return list(documents)
    share = len(documents) * LETTERS // letters

    def key(document: Document) -> tuple[int, str]:
        return xxhash.xxh3_64_intdigest(document.id.encode()), document.id

    return heapq.nsmallest(max(1, share), documents, key=key)


def count(encoder: TextEncoder, texts: Sequence[str]) -> tuple[int, int, int]:
    """Texts that are cut off, the tokens that they lose, and all tokens that the texts have."""
    reading, longer, lost, tokens = encoder.reading("document"), 0, 0, 0
    for start in range(0, len(texts), BATCH):
        whole, read = reading.lengths(texts[start : start + BATCH]).T
        longer += int((whole > read).sum())
        lost += int((whole - read).sum())
        tokens += int(whole.sum())
    return longer, lost, tokens
