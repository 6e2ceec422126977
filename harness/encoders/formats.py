"""Write a checkpoint that others read: a backbone under a projection, in a format of Stanford's, PyLate's or
sentence-transformers'."""

from __future__ import annotations

import json
import shutil
import string
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.encoders import modules, multivector, pylate, stanford
from harness.encoders.base import EMBEDDINGS, NAMED, family_of, locate
from harness.encoders.colbert import model_class
from harness.encoders.files import check_files
from harness.encoders.settings import settings
from harness.encoders.transformer import identity, own_code, positions, quiet, tokenizer_of
from harness.errors import DataError, first_line
from harness.files import digest, lock, write_atomically
from harness.registry import Registry

Writer = Callable[[Path, Any, dict[str, Any], int], None]
"""(folder, colbert-ai's model, Stanford's keys, patches a document was cut to in training) → files."""

FORMATS: Registry[Writer] = Registry("format")
LOADING = threading.Lock()  # while transformers loads a model, modules made by any thread have no memory
WANTED = "give a transformer, a Stanford or a PyLate checkpoint"
LAST = (stanford.METADATA, modules.CONFIG)  # what a folder is recognised by is written last


@dataclass(frozen=True)
class Origin:
    """What training begins from: a transformer's folder, Stanford's keys, and the projection there is, if any.

    projection: float32 (dim, hidden); expands: whether queries are grown with [MASK]. In Stanford's format a checkpoint
    that does not has the padding as its mask, which colbert-ai gives no vector.
    """

    folder: Path
    metadata: dict[str, Any]
    projection: np.ndarray | None
    expands: bool = False

    @property
    def hidden(self) -> int:
        return int(settings(self.folder / "config.json")["hidden_size"])


def origin(name: str) -> Origin:
    """The checkpoint of this name to begin from: any transformer, Stanford's, or PyLate's with one plain Dense layer.

    Raises DataError naming what cannot be carried over.
    """
    if name in list(NAMED) or name.startswith(EMBEDDINGS):
        raise DataError(f"checkpoint {name!r} has no weights to train; {WANTED}")
    folder = locate(name)
    family = family_of(folder, name).__name__
    if family == "Transformer":
        check_files(folder)
        own_code(folder, trust=False)
        return Origin(folder, dict(stanford.DEFAULTS), None)
    if family == "ColBERT":
        check_files(folder)
        own_code(folder, trust=False)
        return Origin(
            folder, stanford.metadata(folder, positions(folder)), stanford.projection(folder), _expands(folder)
        )
    if family == "PyLate":
        return _from_pylate(pylate.PyLate(folder, "float32", "cpu"))
    raise DataError(f"checkpoint {name!r} ({family}) cannot be trained; {WANTED}")


def _expands(folder: Path) -> bool:
    """Whether a Stanford checkpoint's mask is another token than its padding."""
    tokenizer = tokenizer_of(folder)
    return bool(tokenizer.mask_token_id != tokenizer.pad_token_id)


def _from_pylate(encoder: pylate.PyLate) -> Origin:
    """A PyLate checkpoint in Stanford's keys. Raises DataError for what those cannot say."""
    metadata = encoder.metadata
    _, _, layers = encoder.loaded
    plain = len(layers) == 1 and layers[0].bias is None and not layers[0].residual
    reasons = {
        "its Dense layers are not one plain projection": not plain or type(layers[0].activation).__name__ != "Identity",
        "skiplist_words are not the punctuation": set(metadata["skiplist_words"]) - set(string.punctuation)
        or 0 < len(metadata["skiplist_words"]) < len(string.punctuation),
        "it puts a prompt before every text": encoder.prompt,
        "a prefix is empty": not (metadata["query_prefix"] and metadata["document_prefix"]),
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise DataError(f"checkpoint {encoder.folder} cannot be trained further: {', '.join(found)}")
    keys = {
        "query_token_id": metadata["query_prefix"],
        "doc_token_id": metadata["document_prefix"],
        "query_maxlen": metadata["query_length"],
        "dim": len(layers[0].weight),
        "mask_punctuation": bool(metadata["skiplist_words"]),
        "attend_to_mask_tokens": metadata["attend_to_expansion_tokens"],
    }
    return Origin(
        encoder.base, stanford.DEFAULTS | keys, layers[0].weight.float().cpu().numpy(), metadata["do_query_expansion"]
    )


def model_of(start: Origin, weight: np.ndarray) -> Any:
    """colbert-ai's model of a backbone under a projection (dim, hidden), with its tokenizer as ``raw_tokenizer``."""
    with LOADING:
        made = _loaded(start, weight)
    known = made.raw_tokenizer.get_vocab()
    markers = ("query_token_id", "doc_token_id")
    if absent := [start.metadata[key] for key in markers if start.metadata[key] not in known]:
        raise DataError(f"checkpoint {start.folder}: its tokenizer has no {', '.join(absent)} to mark texts with")
    return made.eval()


def _loaded(start: Origin, weight: np.ndarray) -> Any:
    import torch
    from colbert.infra import ColBERTConfig

    quiet()
    try:
        place = f"{start.folder.resolve()}/"
        stored = len(weight if start.projection is None else start.projection)
        made = model_class(place).from_pretrained(place, colbert_config=ColBERTConfig(dim=stored))
        made.raw_tokenizer = tokenizer_of(start.folder)
    except Exception as error:  # whatever colbert-ai, transformers and safetensors raise on broken files
        raise DataError(f"checkpoint {start.folder} cannot be loaded: {first_line(error)}") from None
    _settle_mask(made.raw_tokenizer, start)
    made.dim, made.linear = len(weight), torch.nn.Linear(start.hidden, len(weight), bias=False)
    made.linear.weight = torch.nn.Parameter(torch.from_numpy(weight.astype(np.float32)))
    return made


def _settle_mask(tokenizer: Any, start: Origin) -> None:
    """Where queries are not grown, the mask is the padding. Raises DataError if there is no mask to grow them with."""
    if not start.expands:
        tokenizer.mask_token = tokenizer.pad_token
    elif tokenizer.mask_token_id in (None, tokenizer.pad_token_id):
        raise DataError(
            f"checkpoint {start.folder}: its tokenizer has no [MASK] to grow queries with; leave --expansion out"
        )


def cached(start: Origin, root: Path) -> Path:
    """The backbone as a Stanford checkpoint under the cache, its projection the identity: what trainings share."""
    metadata = {**start.metadata, "dim": start.hidden, "frozen_backbone": False}
    folder = root / "backbones" / digest(identity(start.folder), metadata, start.expands)
    if not (folder / stanford.METADATA).exists():
        with lock(folder, "writing this backbone"):
            if not (folder / stanford.METADATA).exists():
                write("colbert", folder, model_of(start, np.eye(start.hidden, dtype=np.float32)), metadata, 0)
    return folder


def write(kind: str, folder: Path, model: Any, metadata: dict[str, Any], length: int) -> None:
    """Write a checkpoint; the file it is recognised by comes last, so that a half-written one is none."""
    part = folder / ".part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        FORMATS[kind](part, model, metadata, length)
        for path in _in_order(part):
            (folder / path.relative_to(part)).parent.mkdir(parents=True, exist_ok=True)
            path.replace(folder / path.relative_to(part))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _in_order(part: Path) -> Iterator[Path]:
    files = [path for path in sorted(part.rglob("*")) if path.is_file()]
    yield from sorted(files, key=lambda path: path.name in LAST)


@FORMATS.register("colbert")
def write_stanford(folder: Path, model: Any, metadata: dict[str, Any], length: int) -> None:
    """Stanford's format, as colbert-ai itself saves and loads it."""
    model.save_pretrained(folder)
    model.raw_tokenizer.save_pretrained(folder)
    metadata = {**metadata, "doc_maxlen": length, "similarity": "cosine"}
    write_atomically(folder / stanford.METADATA, json.dumps(metadata, indent=1).encode())


@FORMATS.register("pylate")
def write_pylate(folder: Path, model: Any, metadata: dict[str, Any], length: int) -> None:
    """A sentence-transformers folder with PyLate's keys: a Transformer, and a Dense layer that PyLate makes its own."""
    model.LM.save_pretrained(folder)
    tokenizer = model.raw_tokenizer
    tokenizer.save_pretrained(folder)
    listed = [("", "sentence_transformers.models.Transformer"), ("1_Dense", "sentence_transformers.models.Dense")]
    keys = {
        "query_prefix": metadata["query_token_id"],
        "document_prefix": metadata["doc_token_id"],
        "query_length": metadata["query_maxlen"],
        "document_length": length,
        "attend_to_expansion_tokens": metadata["attend_to_mask_tokens"],
        "do_query_expansion": tokenizer.mask_token_id != tokenizer.pad_token_id,
        "skiplist_words": list(string.punctuation) if metadata["mask_punctuation"] else [],
    }
    _write_dense(folder / "1_Dense", model, {})
    _write_json(folder / "modules.json", _listed(listed))
    _write_json(folder / "sentence_bert_config.json", {"max_seq_length": positions(folder), "do_lower_case": False})
    _write_json(folder / modules.CONFIG, keys)


@FORMATS.register("sentence-transformers")
def write_multivector(folder: Path, model: Any, metadata: dict[str, Any], length: int) -> None:
    """A ``MultiVectorEncoder`` of sentence-transformers 6. Its markers are prompts, which its tokenizer keeps whole."""
    from transformers import AddedToken

    model.LM.save_pretrained(folder)
    model.raw_tokenizer.save_pretrained(folder)
    tokenizer = tokenizer_of(folder)
    markers = {"query": metadata["query_token_id"], "document": metadata["doc_token_id"]}
    whole = [AddedToken(marker, normalized=False, special=True) for marker in markers.values()]
    tokenizer.add_tokens(whole, special_tokens=True)  # known ones: no row is added
    tokenizer.save_pretrained(folder)
    base, ours = "sentence_transformers.base.modules", "sentence_transformers.multi_vector_encoder.modules"
    listed = [
        ("", f"{base}.transformer.Transformer"),
        ("1_Dense", f"{base}.dense.Dense"),
        ("2_MultiVectorMask", f"{ours}.multi_vector_mask.MultiVectorMask"),
        ("3_Normalize", f"{base}.normalize.Normalize"),
    ]
    tokens = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    skipped = list(string.punctuation) if metadata["mask_punctuation"] else []
    grows = tokenizer.mask_token_id not in (None, tokenizer.pad_token_id)
    grown = {"strategy": "fixed", "attend": metadata["attend_to_mask_tokens"], "length": metadata["query_maxlen"]}
    lengths = {"query_length": metadata["query_maxlen"], "document_length": length or positions(folder)}
    _write_dense(folder / "1_Dense", model, tokens)
    _write_json(folder / "2_MultiVectorMask" / "config.json", {"skiplist_words": skipped})
    _write_json(folder / "3_Normalize" / "config.json", tokens)
    _write_json(folder / "modules.json", _listed(listed))
    _write_json(folder / "sentence_bert_config.json", {**lengths, "query_expansion": grown if grows else None})
    prompts = {role: f"{marker} " for role, marker in markers.items()}
    _write_json(folder / modules.CONFIG, {"model_type": multivector.KIND, "prompts": prompts})


def _write_dense(folder: Path, model: Any, more: dict[str, Any]) -> None:
    """The projection as a Dense layer without a bias."""
    from safetensors.torch import save_file

    weight = model.linear.weight.detach().cpu().contiguous()
    folder.mkdir()
    save_file({"linear.weight": weight}, folder / modules.WEIGHTS, {"format": "pt"})
    metadata = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    _write_json(folder / "config.json", metadata | more)


def _listed(parts: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """(path, class) as ``modules.json`` lists them."""
    return [{"idx": at, "name": str(at), "path": path, "type": kind} for at, (path, kind) in enumerate(parts)]


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False).encode())
