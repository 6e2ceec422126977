"""Folders of sentence-transformers' ``MultiVectorEncoder``, read without that package."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import packages
from harness.encoders.base import FAMILIES
from harness.encoders.encoding import TextEncoder
from harness.encoders.files import check_files, check_weights
from harness.encoders.modules import CONFIG, WEIGHTS, Dense, dense, modules, places
from harness.encoders.rows import Reading
from harness.encoders.settings import chosen, settings
from harness.encoders.transformer import check_vocabulary, identity, opened, own_code, positions
from harness.errors import DataError

if TYPE_CHECKING:
    import torch

KIND = "MultiVectorEncoder"
TRANSFORMER = "sentence_bert_config.json"
SUPPORTED = "one Transformer, Dense layers, MultiVectorMask, then Normalize"
MASK: dict[str, Any] = {"skiplist_words": [], "skiplist_tasks": ["document"], "keep_only_token_ids": []}


@dataclass(frozen=True)
class Expansion:
    """How queries are grown to ``length`` tokens; fixed: longer ones are cut to it. No token: [MASK], or the end's."""

    fixed: bool
    length: int
    attends: bool
    token: str | None


@FAMILIES.register("multivector")
class MultiVector(TextEncoder):
    """A prompt before every text; queries grown as ``query_expansion`` says; documents lose skipped words.

    Documents are read up to the model's positions, not ``document_length``: the bench cuts lengths itself.
    """

    rank: ClassVar[int] = 30

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / CONFIG).exists() and settings(folder / CONFIG).get("model_type") == KIND

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False):
        self.folder, self.dtype, self.device = folder, dtype, device
        listed = modules(folder)
        self.unit = listed[-1:] != [] and listed[-1].kind == "Normalize"
        heads = listed[:-1] if self.unit else listed
        self.masks = bool(heads) and heads[-1].kind == "MultiVectorMask"
        base, self.dense = places(folder, heads[:-1] if self.masks else heads, SUPPORTED)
        self.base = self.vocabulary = folder / base
        check_files(self.base)
        for path in self.dense:
            check_weights(folder / path, [WEIGHTS])
        _check_streams(folder, [*self.dense, *([listed[-1].path] if self.unit else [])])
        self.code, self.limit = own_code(self.base, trust), positions(self.base)
        self.prompts, self.similarity = _prompts(folder / CONFIG)
        self.longest, self.expansion, self.lower = _transformer(self.base / TRANSFORMER, self.limit)
        mask = folder / heads[-1].path / "config.json" if self.masks else None
        self.mask = chosen(mask, settings(mask), MASK) if mask else MASK
        if self.expansion and not self.masks:
            raise DataError(f"{folder / 'modules.json'} lists no MultiVectorMask, which queries that are grown need")
        parts = [module.path for module in listed]
        self.fingerprint = identity(folder, [".", *parts], self.code)

    @property
    def notes(self) -> list[str]:
        """What a reader must know: this program's scores are sums over query tokens."""
        mean = self.similarity == "meanmaxsim"
        return ["the checkpoint scores by meanmaxsim: its scores are these over the query's tokens"] if mean else []

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any, list[Dense]]:
        """Tokenizer, model and projections, opened when the first text is encoded: cached vectors need none."""
        tokenizer, model = opened(self.base, self.dtype, self.device, bool(self.code))
        check_vocabulary(self.base, tokenizer, model)
        if self.expansion and tokenizer.padding_side != "right":
            raise DataError(f"checkpoint {self.base}: its tokenizer pads on the left, which is not supported")
        if self.lower:
            _lowers(tokenizer)
        width, layers = model.config.hidden_size, []
        for path in self.dense:
            layers.append(dense(self.folder / path, width, self.dtype, self.device))
            width = len(layers[-1].weight)
        return tokenizer, model, layers

    def facts(self, role: str) -> dict[str, Any]:
        common = {"family": "multivector", "role": role, "norm": "l2" if self.unit else "none", "dtype": self.dtype}
        computed = packages.of(*packages.MODELS)
        skipped = self.mask["skiplist_words"] if role in self.mask["skiplist_tasks"] else []
        if role == "document":
            only = self.mask["keep_only_token_ids"]
            metadata = {"limit": self.limit, "skipped": skipped, **({"only": only} if only else {})}
        else:
            grown = vars(self.expansion) if self.expansion else None
            metadata = {"limit": self.longest or self.limit, "skipped": skipped, "expansion": grown}
        return {**common, "packages": computed, "prompt": self.prompts[role], **metadata}

    def reading(self, role: str) -> Reading:
        tokenizer, query, limit = self.loaded[0], role == "query", self.limit
        if query:
            limit = min(self.longest or limit, tokenizer.model_max_length)
        skipped = self._skipped(tokenizer, role)
        if not (query and self.expansion):
            return Reading(tokenizer, limit, prompt=self.prompts[role], skipped=skipped)
        grown = self.expansion
        limit = grown.length if grown.fixed else max(limit, grown.length)
        return Reading(
            tokenizer,
            limit,
            prompt=self.prompts[role],
            least=grown.length,
            fill=self._fill(tokenizer, grown.token),
            attends=grown.attends,
            skipped=skipped,
        )

    def forward(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        _, model, layers = self.loaded
        hidden: torch.Tensor = model(input_ids=ids, attention_mask=attended).last_hidden_state  # (b, t, h)
        for layer in layers:
            hidden = layer(hidden)
        return hidden

    def _fill(self, tokenizer: Any, token: str | None) -> int:
        """The id that queries are grown with. Raises DataError if the tokenizer has none."""
        known = tokenizer.get_vocab()
        for name in [token] if token else [tokenizer.mask_token, tokenizer.eos_token]:
            if name in known:
                return int(known[name])
        raise DataError(f"checkpoint {self.base}: its tokenizer has no {token or '[MASK]'} to grow queries with")

    def _skipped(self, tokenizer: Any, role: str) -> frozenset[int]:
        """Ids without a vector. A skipped word that is no token skips nothing, unlike in PyLate."""
        known = tokenizer.get_vocab()
        words = self.mask["skiplist_words"] if role in self.mask["skiplist_tasks"] else []
        skipped = {known[word] for word in words if word in known}
        if role == "document" and (only := self.mask["keep_only_token_ids"]):
            skipped |= {*known.values()} - {*only}
        return frozenset(skipped)


def _check_streams(folder: Path, paths: list[str]) -> None:
    """Raise DataError if a layer works on anything but the tokens' vectors."""
    for path in paths:
        metadata = settings(folder / path / "config.json")
        for key in ("module_input_name", "module_output_name"):
            if (name := metadata.get(key) or "token_embeddings") != "token_embeddings":
                raise DataError(f"{folder / path / 'config.json'}: {key} is {name!r}; token_embeddings is supported")


def _prompts(path: Path) -> tuple[dict[str, str], str]:
    """The text before texts of each role, and how the checkpoint scores. Raises DataError naming the file."""
    metadata = chosen(path, settings(path), {"prompts": {}, "similarity_fn_name": "maxsim"})
    prompts = {role: metadata["prompts"].get(role) or "" for role in ("query", "document")}
    if wrong := [prompt for prompt in prompts.values() if not isinstance(prompt, str)]:
        raise DataError(f"{path}: prompts hold {wrong[0]!r}; is the file damaged?")
    return prompts, metadata["similarity_fn_name"]


def _transformer(path: Path, limit: int) -> tuple[int | None, Expansion | None, bool]:
    """The most tokens of a query, if said; how queries are grown, if they are; whether texts are put in small letters.

    Raises DataError naming the file and what is not supported.
    """
    metadata = settings(path) if path.exists() else {}
    usual = {
        "transformer_task": "feature-extraction",
        "module_output_name": "token_embeddings",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    }
    for key, value in usual.items():
        if metadata.get(key) not in (None, value):
            raise DataError(f"{path}: {key} is {metadata[key]!r}; {value!r} is supported")
    if metadata.get("processing_kwargs"):
        raise DataError(f"{path}: processing_kwargs are not supported")
    longest, grown = metadata.get("query_length"), metadata.get("query_expansion")
    if longest is not None and not (isinstance(longest, int) and 3 <= longest <= limit):
        raise DataError(f"{path}: query_length is {longest!r}, but the model takes 3 to {limit} tokens")
    return longest, _expansion(path, grown, limit) if grown else None, bool(metadata.get("do_lower_case"))


def _expansion(path: Path, grown: Any, limit: int) -> Expansion:
    keys = {"strategy": "", "length": 0, "attend": False}
    metadata = chosen(path, grown, keys) if isinstance(grown, dict) else {}
    if metadata.get("strategy") not in ("fixed", "min"):
        raise DataError(f"{path}: query_expansion is {grown!r}; strategy fixed or min is supported")
    if not 3 <= metadata["length"] <= limit:
        raise DataError(
            f"{path}: query_expansion's length is {metadata['length']}, but the model takes 3 to {limit} tokens"
        )
    token = grown.get("token")
    return Expansion(
        metadata["strategy"] == "fixed", metadata["length"], metadata["attend"], str(token) if token else None
    )


def _lowers(tokenizer: Any) -> None:
    """Put texts in small letters before anything else, but not the special tokens that they name."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    after = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *after])
