"""Stanford checkpoints (a folder with ``artifact.metadata``), encoded by colbert-ai's own ``Checkpoint``."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from harness.encoders.base import FAMILIES
from harness.encoders.transformer import (
    batches,
    check_files,
    check_vocabulary,
    chosen,
    identity,
    positions,
    quiet,
    settings,
)
from harness.errors import DataError, examples, first_line
from harness.records import Document, Query

METADATA = "artifact.metadata"
DEFAULTS: dict[str, Any] = {  # colbert-ai's own, for what a checkpoint leaves out
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_maxlen": 32,
    "dim": 128,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
}


@FAMILIES.register("colbert")
class ColBERT:
    """Queries are marked and grown to ``query_maxlen`` with [MASK]; documents are marked and lose their punctuation.

    Documents are read up to the model's positions, not ``doc_maxlen``: the bench cuts lengths itself.
    """

    rank: ClassVar[int] = 10

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / METADATA).exists()

    def __init__(self, folder: Path, dtype: str, device: str):
        check_files(folder)
        self.folder, self.dtype, self.device, self.limit = folder, dtype, device, positions(folder)
        self.about = _about(folder / METADATA, self.limit)
        for name in ("config.json", "tokenizer_config.json"):
            if (folder / name).exists() and settings(folder / name).get("auto_map"):
                raise DataError(f"{folder / name} asks for code of its own (auto_map); no code of a checkpoint is run")
        self.fingerprint = identity(folder, more=[METADATA])

    @functools.cached_property
    def loaded(self) -> Any:
        """colbert-ai's Checkpoint, opened when the first text is encoded: cached vectors do not need it."""
        import torch

        quiet()
        # Absolute, with a slash at the end: neither a hub id nor the name of a pickled .dnn file.
        place = f"{self.folder.resolve()}/"
        try:
            stored = _stored(self.folder)
            self._check_projection(stored)
            with _confined(self.device):
                from colbert.infra import ColBERTConfig
                from colbert.modeling.checkpoint import Checkpoint
                from colbert.modeling.hf_colbert import class_factory

                class_factory(place)  # where this fails, Checkpoint would go on with another model's class
                # model_name: Checkpoint would ask the hub for it, and run its code
                config = ColBERTConfig(**self.about, doc_maxlen=self.limit, model_name=None)
                checkpoint = Checkpoint(place, config, verbose=0)
                checkpoint.model.to(self.device, getattr(torch, self.dtype))
        except DataError:
            raise
        except Exception as error:  # whatever colbert-ai, transformers and safetensors raise on broken files
            line = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"checkpoint {self.folder} cannot be loaded: {line}") from None
        checkpoint.amp_manager.activated = False  # vectors of the dtype that was asked for, not of autocast
        if not self.about["mask_punctuation"]:
            checkpoint.skiplist = {}  # colbert-ai 0.2.22 sets none here, and then fails on documents
        self._check(checkpoint, stored)
        return checkpoint

    def _check_projection(self, stored: dict[str, list[int]]) -> None:
        shape, dim = stored.get("linear.weight"), self.about["dim"]
        if shape is not None and shape[0] != dim:
            line = f"{self.folder / METADATA} says dim {dim}, but linear.weight in the weights has shape {shape}"
            raise DataError(f"{line}; are they another model's?")

    def _check(self, checkpoint: Any, stored: dict[str, list[int]]) -> None:
        names = {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in stored}
        kept = (name for name, _ in checkpoint.model.named_parameters() if ".pooler." not in name)
        if absent := sorted(set(kept) - names):
            raise DataError(f"checkpoint {self.folder}: its weights lack {examples(absent)}; are they another model's?")
        check_vocabulary(self.folder, checkpoint.raw_tokenizer, checkpoint.bert)
        queries, documents = checkpoint.query_tokenizer, checkpoint.doc_tokenizer
        needs = {self.about["query_token_id"]: queries.Q_marker_token_id, "[MASK]": queries.mask_token_id,
                 self.about["doc_token_id"]: documents.D_marker_token_id}  # fmt: skip
        if absent := [token for token, number in needs.items() if number is None]:
            raise DataError(f"checkpoint {self.folder}: its tokenizer has no {examples(absent)}")

    def recipe(self, role: str) -> dict[str, Any]:
        about, common = self.about, {"family": "colbert", "role": role, "norm": "l2", "dtype": self.dtype}
        if role == "query":
            attended = about["attend_to_mask_tokens"]
            return {
                **common,
                "marker": about["query_token_id"],
                "expanded": about["query_maxlen"],
                "attended": attended,
            }
        skipped = "punctuation" if about["mask_punctuation"] else "nothing"
        return {**common, "marker": about["doc_token_id"], "limit": self.limit, "skipped": skipped}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)), longest texts first so that a batch pads little."""
        checkpoint, texts = self.loaded, [item.text for item in items]
        lengths = [self.about["query_maxlen"]] * len(texts)
        if role != "query":
            ids = checkpoint.raw_tokenizer(texts, truncation=True, max_length=self.limit - 1)["input_ids"]
            lengths = [len(one) + 1 for one in ids]  # the marker is put in later
        for batch in batches(lengths):
            chosen = [texts[at] for at in batch]
            with _confined(self.device):
                many = (
                    checkpoint.queryFromText(chosen)
                    if role == "query"
                    else checkpoint.docFromText(chosen, keep_dims=False)
                )
            yield [(at, vectors.half().cpu().numpy()) for at, vectors in zip(batch, many, strict=True)]

    def tokens(self, text: str, role: str) -> list[str]:
        """The token each vector of a text belongs to."""
        checkpoint = self.loaded
        with _confined(self.device):
            ids, _ = (checkpoint.query_tokenizer if role == "query" else checkpoint.doc_tokenizer).tensorize([text])
        [kept] = checkpoint.mask(ids, skiplist={} if role == "query" else checkpoint.skiplist)
        tokens = checkpoint.raw_tokenizer.convert_ids_to_tokens(ids[0].tolist())
        return [token for token, keep in zip(tokens, kept, strict=True) if keep]


@contextlib.contextmanager
def _confined(device: str) -> Iterator[None]:
    """Left alone, colbert-ai takes any GPU it sees and compiles a C++ scorer when a model is opened: here, neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of torch is dated
        import torch
        from colbert.modeling import base_colbert, colbert
        from colbert.modeling.tokenization import doc_tokenization, query_tokenization

        modules = (base_colbert, doc_tokenization, query_tokenization)
        changes = [
            (colbert.ColBERT, "loaded_extensions", True),
            *((one, "DEVICE", torch.device(device)) for one in modules),
        ]
        before = [vars(owner).get(name) for owner, name, _ in changes]
        for owner, name, value in changes:
            setattr(owner, name, value)
        try:
            yield
        finally:
            for (owner, name, _), value in zip(changes, before, strict=True):
                delattr(owner, name) if value is None else setattr(owner, name, value)


def _about(path: Path, limit: int) -> dict[str, Any]:
    """What decides vectors in a checkpoint's metadata. Raises DataError naming the file."""
    found = settings(path)
    found = found["config"] if isinstance(found.get("config"), dict) else found
    about = chosen(path, found, DEFAULTS)
    if not 4 <= about["query_maxlen"] <= limit:
        raise DataError(f"{path}: query_maxlen is {about['query_maxlen']}, but the model takes 4 to {limit} tokens")
    return about


def _stored(folder: Path) -> dict[str, list[int]]:
    """Names and shapes of the weights on disk."""
    from safetensors import safe_open

    found: dict[str, list[int]] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                found |= {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # safetensors' errors share no base class
            raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    return found
