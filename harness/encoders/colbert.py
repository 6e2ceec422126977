"""Stanford checkpoints (a folder with ``artifact.metadata``), opened by colbert-ai's own ``Checkpoint``.

Texts are encoded as every family's are; colbert-ai's ``docFromText`` and ``queryFromText`` give the same vectors.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from harness import packages
from harness.encoders import stanford
from harness.encoders.base import FAMILIES
from harness.encoders.encoding import TextEncoder
from harness.encoders.files import check_files
from harness.encoders.rows import Marker, Reading
from harness.encoders.transformer import check_vocabulary, identity, own_code, positions, quiet
from harness.errors import DataError, examples

if TYPE_CHECKING:
    import torch


@FAMILIES.register("colbert")
class ColBERT(TextEncoder):
    """Queries are marked and grown to ``query_maxlen`` with [MASK]; documents are marked and lose their punctuation.

    A tokenizer whose mask is its padding grows no query: colbert-ai gives padding zeros, which are left out here.
    Documents are read up to the model's positions, not ``doc_maxlen``: the bench cuts lengths itself.
    bare: the vectors before the projection, normalised; all checkpoints of one frozen backbone share them.
    """

    rank: ClassVar[int] = 10

    @staticmethod
    def recognises(folder: Path) -> bool:
        return (folder / stanford.METADATA).exists()

    def __init__(self, folder: Path, dtype: str, device: str, trust: bool = False, bare: bool = False):
        check_files(folder)
        self.folder, self.dtype, self.device, self.limit = folder, dtype, device, positions(folder)
        self.metadata, self.bare, self.vocabulary = stanford.metadata(folder, self.limit), bare, folder
        self.code = own_code(folder, trust)
        self.fingerprint = (
            stanford.backbone(folder, self.metadata) if bare else identity(folder, more=[stanford.METADATA, *self.code])
        )

    @functools.cached_property
    def backbone(self) -> ColBERT | None:
        """The encoder whose cached vectors this one projects, where training left the backbone as it was."""
        frozen = self.metadata["frozen_backbone"] and not self.bare
        if not frozen:
            return None
        bare = ColBERT(self.folder, self.dtype, self.device, bool(self.code), bare=True)
        bare.windows = self.windows
        return bare

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """The backbone's vectors (p, h) as this checkpoint's, float16 (p, d)."""
        made = vectors.astype(np.float32) @ self._projection.T
        return np.asarray(made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12), np.float16)

    @functools.cached_property
    def _projection(self) -> np.ndarray:
        return stanford.projection(self.folder)

    @functools.cached_property
    def loaded(self) -> Any:
        """colbert-ai's Checkpoint, opened when the first text is encoded: cached vectors do not need it."""
        import torch

        quiet()
        # Absolute, with a slash at the end: neither a hub id nor the name of a pickled .dnn file.
        place = f"{self.folder.resolve()}/"
        try:
            stored = stanford.shapes(self.folder)
            self._check_projection(stored)
            with confined(self.device):
                from colbert.infra import ColBERTConfig
                from colbert.modeling.checkpoint import Checkpoint

                model_class(place)  # where this fails, Checkpoint would go on with another model's class
                # model_name: Checkpoint would ask the hub for it, and run its code
                metadata = {key: value for key, value in self.metadata.items() if key != "frozen_backbone"}
                config = ColBERTConfig(**metadata, doc_maxlen=self.limit, model_name=None)
                checkpoint = Checkpoint(place, config, verbose=0)
                checkpoint.model.to(self.device)
                for weight in checkpoint.model.parameters():  # no buffers: angles of rotary positions stay exact
                    weight.data = weight.data.to(getattr(torch, self.dtype))
        except DataError:
            raise
        except Exception as error:  # whatever colbert-ai, transformers and safetensors raise on broken files
            line = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(f"checkpoint {self.folder} cannot be loaded: {line}") from None
        checkpoint.amp_manager.activated = False  # vectors of the dtype that was asked for, not of autocast
        if not self.metadata["mask_punctuation"]:
            checkpoint.skiplist = {}  # colbert-ai 0.2.22 sets none here, and then fails on documents
        self._check(checkpoint, stored)
        if self.bare:
            checkpoint.model.linear = torch.nn.Identity()
        return checkpoint

    def _check_projection(self, stored: dict[str, list[int]]) -> None:
        shape, dim = stored.get(stanford.LINEAR), self.metadata["dim"]
        if shape is not None and shape[0] != dim:
            line = (
                f"{self.folder / stanford.METADATA} says dim {dim}, but linear.weight in the weights has shape {shape}"
            )
            raise DataError(f"{line}; are they another model's?")

    def _check(self, checkpoint: Any, stored: dict[str, list[int]]) -> None:
        names = {name.replace(".gamma", ".weight").replace(".beta", ".bias") for name in stored}
        kept = (name for name, _ in checkpoint.model.named_parameters() if ".pooler." not in name)
        if absent := sorted(set(kept) - names):
            raise DataError(f"checkpoint {self.folder}: its weights lack {examples(absent)}; are they another model's?")
        check_vocabulary(self.folder, checkpoint.raw_tokenizer, checkpoint.bert)
        queries, documents = checkpoint.query_tokenizer, checkpoint.doc_tokenizer
        needs = {
            self.metadata["query_token_id"]: queries.Q_marker_token_id,
            "[MASK]": queries.mask_token_id,
            self.metadata["doc_token_id"]: documents.D_marker_token_id,
        }
        if absent := [token for token, number in needs.items() if number is None]:
            raise DataError(f"checkpoint {self.folder}: its tokenizer has no {examples(absent)}")

    def facts(self, role: str) -> dict[str, Any]:
        metadata, computed = self.metadata, packages.of("colbert-ai", *packages.MODELS)
        common = {"family": "colbert", "role": role, "norm": "l2", "dtype": self.dtype, "packages": computed}
        if self.bare or self.backbone:
            common["projection"] = "none" if self.bare else "of the backbone's float16 vectors"
        if role == "query":
            attended = metadata["attend_to_mask_tokens"]
            return {
                **common,
                "marker": metadata["query_token_id"],
                "limit": metadata["query_maxlen"],
                "expanded": "with the tokenizer's mask, unless that is its padding",
                "attended": attended,
            }
        skipped = "punctuation" if metadata["mask_punctuation"] else "nothing"
        return {**common, "marker": metadata["doc_token_id"], "limit": self.limit, "skipped": skipped}

    def reading(self, role: str) -> Reading:
        checkpoint, metadata = self.loaded, self.metadata
        padding = frozenset({checkpoint.pad_token} - {None})
        if role == "document":
            tokens = checkpoint.doc_tokenizer
            punctuation = {id for id in checkpoint.skiplist if isinstance(id, int)}
            marker = Marker(tokens.D_marker_token_id, metadata["doc_token_id"])
            return Reading(tokens.tok, self.limit, marker, skipped=padding | punctuation)
        tokens, length = checkpoint.query_tokenizer, metadata["query_maxlen"]
        marker, mask = Marker(tokens.Q_marker_token_id, metadata["query_token_id"]), tokens.mask_token_id
        return Reading(
            tokens.tok,
            length,
            marker,
            least=length,
            fill=mask,
            attends=metadata["attend_to_mask_tokens"],
            skipped=padding & {mask},
            replaced=padding - {mask},
        )

    def forward(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        model = self.loaded.model
        vectors: torch.Tensor = model.linear(model.LM(ids, attention_mask=attended)[0])
        return vectors


def model_class(place: str) -> Any:
    """colbert-ai's class for the model in a folder, finished as transformers 5 wants it.

    Its constructor ends without ``post_init()``, which since transformers 5 sets what loading asks for.
    """
    from colbert.modeling.hf_colbert import class_factory

    whole = class_factory(place)

    def finished(self: Any, config: Any, colbert_config: Any) -> None:
        whole.__init__(self, config, colbert_config)
        self.post_init()

    return type(whole.__name__, (whole,), {"__init__": finished})


@contextlib.contextmanager
def confined(device: str) -> Iterator[None]:
    """Left alone, colbert-ai takes any GPU it sees and compiles a C++ scorer when a model is opened: here, neither."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its use of torch is dated
        import torch
        from colbert.modeling import base_colbert, colbert
        from colbert.modeling.tokenization import doc_tokenization, query_tokenization

        modules = (base_colbert, doc_tokenization, query_tokenization)
        changes = [
            (colbert.ColBERT, "loaded_extensions", True),
            (base_colbert, "class_factory", model_class),
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
