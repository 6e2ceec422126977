"""PyLate checkpoints (a sentence-transformers folder with PyLate's keys), read without the pylate package."""

from __future__ import annotations

import functools
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import packages
from harness.encoders.base import FAMILIES
from harness.encoders.encoding import TextEncoder
from harness.encoders.files import check_files, check_weights
from harness.encoders.modules import CONFIG, WEIGHTS, Dense, dense, modules, places
from harness.encoders.rows import Marker, Reading
from harness.encoders.settings import chosen, settings
from harness.encoders.transformer import check_vocabulary, identity, opened, own_code, positions
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

DEFAULTS: dict[str, Any] = {  # PyLate's own, for what a checkpoint leaves out or sets to null
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 32,
    "attend_to_expansion_tokens": False,
    "do_query_expansion": True,
    "skiplist_words": list(string.punctuation),
}
LEFT_OUT = ("Pooling", "Normalize")  # modules that PyLate leaves out too


@FAMILIES.register("pylate")
class PyLate(TextEncoder):
    """A prefix token after the first; queries grown with [MASK] to ``query_length``; documents lose skipped words.

    Documents are read up to the model's positions, not ``document_length``: the bench cuts lengths itself.
    """

    rank: ClassVar[int] = 20

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / CONFIG).exists() and {"query_prefix", "document_prefix"} <= settings(folder / CONFIG).keys()

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        self.folder, self.dtype, self.device = folder, dtype, device
        parts = [part for part in modules(folder) if part.kind not in LEFT_OUT]
        base, self.dense = places(folder, parts, "one Transformer, then Dense layers", least=1)
        self.base = self.vocabulary = folder / base
        check_files(self.base)
        self.code = own_code(self.base, trust)
        self.limit = positions(self.base)
        self.metadata, self.prompt = _about(folder / CONFIG, self.limit)
        metadata = self.base / "sentence_bert_config.json"
        self.lower = metadata.exists() and bool(settings(metadata).get("do_lower_case"))
        for path in self.dense:
            check_weights(folder / path, [WEIGHTS])
        self.fingerprint = identity(folder, [".", base, *self.dense], self.code)

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any, list[Dense]]:
        """Tokenizer, model and projections, opened when the first text is encoded: cached vectors need none."""
        tokenizer, model = opened(self.base, self.dtype, self.device, bool(self.code))
        check_vocabulary(self.base, tokenizer, model)
        known, prefixes = tokenizer.get_vocab(), [self.metadata["query_prefix"], self.metadata["document_prefix"]]
        for prefix in filter(None, prefixes):
            if prefix not in known:
                raise DataError(
                    f"{self.folder / CONFIG}: the tokenizer has no token {prefix!r}; is it another model's?"
                )
        if tokenizer.padding_side != "right":
            raise DataError(f"checkpoint {self.base}: its tokenizer pads on the left, which is not supported")
        tokenizer.add_tokens([prefix for prefix in prefixes if prefix])  # adds no row: a text may then name them
        fills = (tokenizer.mask_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        tokenizer.pad_token_id = next((one for one in fills if one is not None), None)
        if tokenizer.pad_token_id is None:
            raise DataError(f"checkpoint {self.base}: its tokenizer has no [MASK] to grow queries with")
        width, layers = model.config.hidden_size, []
        for name in self.dense:
            layers.append(dense(self.folder / name, width, self.dtype, self.device))
            width = len(layers[-1].weight)
        return tokenizer, model, layers

    def facts(self, role: str) -> dict[str, Any]:
        metadata, computed = self.metadata, packages.of(*packages.MODELS)
        common = {"family": "pylate", "role": role, "norm": "l2", "dtype": self.dtype, "packages": computed}
        if role == "query":
            expanded, attended = metadata["do_query_expansion"], metadata["attend_to_expansion_tokens"]
            common |= {"marker": metadata["query_prefix"], "limit": metadata["query_length"]}
            return {**common, "expanded": expanded, "attended": expanded and attended}
        return {
            **common,
            "marker": metadata["document_prefix"],
            "limit": self.limit,
            "skipped": metadata["skiplist_words"],
        }

    def reading(self, role: str) -> Reading:
        tokenizer, metadata = self.loaded[0], self.metadata
        prefix, query = metadata[f"{role}_prefix"], role == "query"
        marker = Marker(tokenizer.convert_tokens_to_ids(prefix), prefix) if prefix else None
        # a skipped word that is no token skips the unknown token, as in PyLate
        skipped = frozenset() if query else frozenset(map(tokenizer.convert_tokens_to_ids, metadata["skiplist_words"]))
        return Reading(
            tokenizer,
            metadata["query_length"] if query else self.limit,
            marker,
            self.prompt,
            least=metadata["query_length"] if query and metadata["do_query_expansion"] else 0,
            fill=tokenizer.pad_token_id,
            attends=metadata["attend_to_expansion_tokens"],
            skipped=skipped,
            strips=True,
            lowers=self.lower,
        )

    def forward(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        _, model, layers = self.loaded
        hidden: torch.Tensor = model(input_ids=ids, attention_mask=attended).last_hidden_state  # (b, t, h)
        for layer in layers:
            hidden = layer(hidden)
        return hidden


def _about(path: Path, limit: int) -> tuple[dict[str, Any], str]:
    """PyLate's keys, and the text put before every text, if any. Raises DataError naming the file."""
    found = settings(path)
    metadata = chosen(path, found, DEFAULTS)
    if not 4 <= metadata["query_length"] <= limit:
        raise DataError(f"{path}: query_length is {metadata['query_length']}, but the model takes 4 to {limit} tokens")
    name = found.get("default_prompt_name")
    return metadata, str((found.get("prompts") or {}).get(name) or "") if name else ""
