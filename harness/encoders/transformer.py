"""Any Hugging Face or sentence-transformers encoder: every token kept, each vector L2-normalised."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.encoders.base import FAMILIES
from harness.errors import DataError, examples, first_line
from harness.files import checksum, digest
from harness.records import Document, Query

TOKENS = 8192  # tokens a batch, padding included: keeps two cores busy, and their caches
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
SHIFTED = ("roberta", "mpnet", "camembert", "data2vec-text", "longformer", "luke")  # positions begin after padding's id
IDENTITY = ("*.safetensors", "*.json", "*.txt", "*.model")  # what decides a checkpoint's vectors: weights and tokenizer


@FAMILIES.register("transformer")
class Transformer:
    """Token vectors of a transformer's last layer, special tokens included; texts are cut at the model's limit."""

    rank: ClassVar[int] = 100

    @staticmethod
    def recognises(folder: Path) -> bool:
        tokenizer = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
        return (folder / "config.json").exists() and any((folder / name).exists() for name in tokenizer)

    def __init__(self, folder: Path, dtype: str, device: str):
        if not any((folder / name).exists() for name in WEIGHTS):
            raise DataError(f"{folder} has no {WEIGHTS[0]}; convert its weights to safetensors first")
        files = sorted(path for pattern in IDENTITY for path in folder.glob(pattern))
        self.fingerprint = digest([(path.name, checksum(path)) for path in files])
        self.folder, self.dtype, self.device, self.limit = folder, dtype, device, _limit(folder)

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any]:
        """Tokenizer and model, opened when the first text is encoded: cached vectors need neither."""
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, use_fast=True, trust_remote_code=False)
            model, loading = AutoModel.from_pretrained(
                self.folder, dtype=getattr(torch, self.dtype), use_safetensors=True, trust_remote_code=False,
                output_loading_info=True,
            )  # fmt: skip
        except Exception as error:  # whatever transformers, tokenizers and safetensors raise on broken files
            raise DataError(f"checkpoint {self.folder} cannot be loaded: {first_line(error)}") from None
        if absent := sorted(name for name in loading["missing_keys"] if not name.startswith("pooler.")):
            raise DataError(f"checkpoint {self.folder}: its weights lack {examples(absent)}; are they another model's?")
        return tokenizer, model.eval().to(self.device)

    def recipe(self, role: str) -> dict[str, Any]:
        return {"family": "transformer", "tokens": "all", "norm": "l2", "limit": self.limit, "dtype": self.dtype}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)), longest texts first so that a batch pads little."""
        import torch

        tokenizer, model = self.loaded
        ids = tokenizer(
            [item.text for item in items], truncation=True, max_length=self.limit, return_attention_mask=False
        )
        tokens: list[list[int]] = ids["input_ids"]
        order = sorted(range(len(tokens)), key=lambda at: -len(tokens[at]))
        for batch in _batches(order, [len(one) for one in tokens]):
            padded = tokenizer.pad({"input_ids": [tokens[at] for at in batch]}, return_tensors="pt")
            with torch.inference_mode():
                hidden = model(**padded.to(self.device)).last_hidden_state.float()
                vectors = torch.nn.functional.normalize(hidden, dim=-1).half().cpu().numpy()  # (b, t, d)
            yield [(at, vectors[row, : len(tokens[at])]) for row, at in enumerate(batch)]

    def tokens(self, text: str, role: str) -> list[str]:
        """The token each vector of a text belongs to."""
        tokenizer, _ = self.loaded
        return tokenizer.convert_ids_to_tokens(tokenizer(text, truncation=True, max_length=self.limit)["input_ids"])


def _batches(order: list[int], lengths: list[int]) -> Iterator[list[int]]:
    """Consecutive items, longest first, so that rows × the longest row stay within the token budget."""
    while order:
        size = max(1, TOKENS // max(1, lengths[order[0]]))
        yield order[:size]
        order = order[size:]


def _limit(folder: Path) -> int:
    """Most tokens a text may have: what the positions hold, less those that RoBERTa and its kin begin after."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        family, positions = str(config.get("model_type", "")), int(config.get("max_position_embeddings") or 512)
        shifted = any(name in family for name in SHIFTED)
        return positions - (int(config.get("pad_token_id") or 1) + 1 if shifted else 0)
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / 'config.json'} cannot be read: {first_line(error)}") from None
