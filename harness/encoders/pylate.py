"""PyLate checkpoints (a sentence-transformers folder with PyLate's keys), read without the pylate package."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness import packages
from harness.encoders.base import FAMILIES
from harness.encoders.encoding import TextEncoder
from harness.encoders.rows import Marker, Reading
from harness.encoders.transformer import (
    check_files,
    check_vocabulary,
    chosen,
    identity,
    opened,
    own_code,
    positions,
    settings,
)
from harness.errors import DataError, first_line

if TYPE_CHECKING:
    import torch

CONFIG = "config_sentence_transformers.json"
WEIGHTS = "model.safetensors"
DEFAULTS: dict[str, Any] = {  # PyLate's own, for what a checkpoint leaves out or sets to null
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 32,
    "attend_to_expansion_tokens": False,
    "do_query_expansion": True,
    "skiplist_words": list(string.punctuation),
}
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")  # of torch.nn
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
        base, self.dense = _modules(folder)
        self.base = self.vocabulary = folder / base
        check_files(self.base)
        self.code = own_code(self.base, trust)
        self.limit = positions(self.base)
        self.about, self.prompt = _about(folder / CONFIG, self.limit)
        about = self.base / "sentence_bert_config.json"
        self.lower = about.exists() and bool(settings(about).get("do_lower_case"))
        for name in self.dense:
            if not (folder / name / WEIGHTS).exists():
                raise DataError(f"{folder / name} has no {WEIGHTS}; convert its weights to safetensors first")
        self.fingerprint = identity(folder, [".", base, *self.dense], self.code)

    @functools.cached_property
    def loaded(self) -> tuple[Any, Any, list[Dense]]:
        """Tokenizer, model and projections, opened when the first text is encoded: cached vectors need none."""
        tokenizer, model = opened(self.base, self.dtype, self.device, bool(self.code))
        check_vocabulary(self.base, tokenizer, model)
        known, prefixes = tokenizer.get_vocab(), [self.about["query_prefix"], self.about["document_prefix"]]
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
            layers.append(_dense(self.folder / name, width, self.dtype, self.device))
            width = len(layers[-1].weight)
        return tokenizer, model, layers

    def recipe(self, role: str) -> dict[str, Any]:
        about, computed = self.about, packages.of(*packages.MODELS)
        common = {"family": "pylate", "role": role, "norm": "l2", "dtype": self.dtype, "packages": computed}
        if role == "query":
            expanded, attended = about["do_query_expansion"], about["attend_to_expansion_tokens"]
            common |= {"marker": about["query_prefix"], "limit": about["query_length"]}
            return {**common, "expanded": expanded, "attended": expanded and attended}
        return {**common, "marker": about["document_prefix"], "limit": self.limit, "skipped": about["skiplist_words"]}

    def reading(self, role: str) -> Reading:
        tokenizer, about = self.loaded[0], self.about
        prefix, query = about[f"{role}_prefix"], role == "query"
        marker = Marker(tokenizer.convert_tokens_to_ids(prefix), prefix) if prefix else None
        # a skipped word that is no token skips the unknown token, as in PyLate
        skipped = frozenset() if query else frozenset(map(tokenizer.convert_tokens_to_ids, about["skiplist_words"]))
        return Reading(
            tokenizer,
            about["query_length"] if query else self.limit,
            marker,
            self.prompt,
            least=about["query_length"] if query and about["do_query_expansion"] else 0,
            fill=tokenizer.pad_token_id,
            attends=about["attend_to_expansion_tokens"],
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


@dataclass(frozen=True)
class Dense:
    """A projection: activation(W x + b), and, where residual, x or its own projection on top."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    activation: torch.nn.Module
    residual: bool
    shortcut: torch.Tensor | None

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out)."""
        from torch.nn.functional import linear

        made = self.activation(linear(vectors, self.weight, self.bias))
        if not self.residual:
            return made
        return made + (vectors if self.shortcut is None else linear(vectors, self.shortcut))


def _dense(folder: Path, width: int, dtype: str, device: str) -> Dense:
    """Open a Dense folder that takes vectors of this width. Raises DataError naming the file."""
    import torch
    from safetensors.torch import load_file

    about, path = settings(folder / "config.json"), folder / WEIGHTS
    kind = str(about.get("activation_function") or "torch.nn.Identity")
    if not kind.startswith("torch.nn.") or kind.split(".")[-1] not in ACTIVATIONS:
        raise DataError(f"{folder / 'config.json'}: activation_function {kind!r} is none of {', '.join(ACTIVATIONS)}")
    try:
        found = {name: one.to(device, getattr(torch, dtype)) for name, one in load_file(path).items()}
    except Exception as error:  # safetensors' errors share no base class
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    inputs, outputs, residual = about.get("in_features"), about.get("out_features"), bool(about.get("use_residual"))
    if inputs != width:
        raise DataError(f"{folder / 'config.json'}: in_features is {inputs}, but the layer before gives {width}")
    shapes: dict[str, tuple] = {"linear.weight": (outputs, inputs)}
    shapes |= {"linear.bias": (outputs,)} if about.get("bias", True) else {}
    shapes |= {"residual.weight": (outputs, inputs)} if residual and inputs != outputs else {}
    for name, shape in shapes.items():
        if name not in found or tuple(found[name].shape) != shape:
            has = tuple(found[name].shape) if name in found else "missing"
            raise DataError(f"{path}: {name} is {has}, but config.json beside it says {shape}")
    bias, shortcut = (found[name] if name in shapes else None for name in ("linear.bias", "residual.weight"))
    return Dense(found["linear.weight"], bias, getattr(torch.nn, kind.split(".")[-1])(), residual, shortcut)


def _modules(folder: Path) -> tuple[str, list[str]]:
    """The transformer's folder and the projections' folders in order, from ``modules.json``."""
    path = folder / "modules.json"
    found = settings(path, list)
    try:
        places = [(str(one["type"]).split(".")[-1], str(one["path"]) or ".") for one in found]
    except (KeyError, TypeError):
        raise DataError(f"{path} cannot be read: a module has no type or no path") from None
    places = [(kind, place) for kind, place in places if kind not in LEFT_OUT]
    kinds = [kind for kind, _ in places]
    if kinds[:1] != ["Transformer"] or len(kinds) < 2 or set(kinds[1:]) != {"Dense"}:
        raise DataError(
            f"{path} lists {', '.join(kinds) or 'nothing'}; one Transformer, then Dense layers are supported"
        )
    if outside := [place for _, place in places if Path(place).is_absolute() or ".." in Path(place).parts]:
        raise DataError(f"{path} names {outside[0]!r}, which lies outside the checkpoint")
    return places[0][1], [place for _, place in places[1:]]


def _about(path: Path, limit: int) -> tuple[dict[str, Any], str]:
    """PyLate's keys, and the text put before every text, if any. Raises DataError naming the file."""
    found = settings(path)
    about = chosen(path, found, DEFAULTS)
    if not 4 <= about["query_length"] <= limit:
        raise DataError(f"{path}: query_length is {about['query_length']}, but the model takes 4 to {limit} tokens")
    name = found.get("default_prompt_name")
    return about, str((found.get("prompts") or {}).get(name) or "") if name else ""
