"""How much of a collection a checkpoint's vocabulary does not know: all that becomes [UNK] looks alike to a model."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import xxhash

from harness.encoders.transformer import tokenizer_of
from harness.errors import DataError, first_line
from harness.records import Document, Query

SAMPLE = 256  # texts of a kind that are looked at: cached vectors are not tokenised again, and this takes a second
MUCH = 0.1  # share from which a note says so


def notes(encoder: Any, documents: Sequence[Document], queries: Sequence[Query]) -> Iterator[str]:
    """A note where more than MUCH of the tokens of documents or of queries are unknown to the checkpoint."""
    if (folder := getattr(encoder, "vocabulary", None)) is None:
        return
    kinds: tuple[tuple[Sequence[Document | Query], str], ...] = (documents, "documents"), (queries, "queries")
    for items, many in kinds:
        texts = sample([item for item in items if item.text.strip()])
        if (part := share(folder, texts, encoder.limit, bool(encoder.code))) > MUCH:
            few = f", by a sample of {len(texts):,}" if len(texts) < len(items) else ""
            yield (
                f"{part:.0%} of the tokens of the {many} are unknown to the checkpoint ([UNK]){few};"
                " unknown words all look alike to it: was it trained on their language?"
            )


def sample(items: Sequence[Document | Query]) -> list[str]:
    """At most SAMPLE of the texts, chosen by the ids alone, so that their order in a file decides nothing."""
    chosen = heapq.nsmallest(SAMPLE, items, key=lambda item: (xxhash.xxh3_64_intdigest(item.id.encode()), item.id))
    return [item.text for item in chosen]


def share(folder: Path, texts: Sequence[str], limit: int, trust: bool = False) -> float:
    """Share of the texts' tokens, up to the limit of each, that the tokenizer in the folder has no name for.

    Tokens that a model adds do not count. Raises DataError if the tokenizer cannot be read.
    """
    if (tokenizer := _tokenizer(folder, trust)) is None:
        return 0.0
    model = json.loads(tokenizer.to_str())["model"]
    unknown = model.get("unk_id")
    if unknown is None and model.get("unk_token") is not None:
        unknown = tokenizer.token_to_id(model["unk_token"])
    if unknown is None:  # a tokenizer of bytes knows everything
        return 0.0
    tokenizer.no_padding()
    tokenizer.enable_truncation(limit)
    tokens = [token for one in tokenizer.encode_batch(list(texts), add_special_tokens=False) for token in one.ids]
    return tokens.count(unknown) / max(1, len(tokens))


def _tokenizer(folder: Path, trust: bool) -> Any:
    """The fast tokenizer of a folder, or None if it has none; transformers is imported only if there is no file."""
    try:
        if (path := folder / "tokenizer.json").exists():
            from tokenizers import Tokenizer

            return Tokenizer.from_file(str(path))
        return getattr(tokenizer_of(folder, trust), "backend_tokenizer", None)
    except Exception as error:  # tokenizers' errors share no base class
        raise DataError(f"checkpoint {folder}: its tokenizer cannot be loaded: {first_line(error)}") from None
