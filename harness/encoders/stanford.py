"""Files of a Stanford checkpoint: its metadata, its projection, and what its backbone is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harness.encoders.files import TOKENIZER
from harness.encoders.settings import chosen, settings
from harness.encoders.transformer import tensors
from harness.errors import DataError
from harness.files import checksum, digest

METADATA = "artifact.metadata"
LINEAR = "linear.weight"
DEFAULTS: dict[str, Any] = {  # colbert-ai's own, for what a checkpoint leaves out
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_maxlen": 32,
    "dim": 128,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
    "frozen_backbone": False,  # ours: training left all but the projection as it was
}


def metadata(folder: Path, limit: int) -> dict[str, Any]:
    """What decides vectors in a checkpoint's metadata. Raises DataError naming the file."""
    path = folder / METADATA
    found = settings(path)
    found = found["config"] if isinstance(found.get("config"), dict) else found
    read = chosen(path, found, DEFAULTS)
    if not 4 <= read["query_maxlen"] <= limit:
        raise DataError(f"{path}: query_maxlen is {read['query_maxlen']}, but the model takes 4 to {limit} tokens")
    return read


def shapes(folder: Path) -> dict[str, list[int]]:
    """Names and shapes of the weights on disk."""
    return {name: part.get_shape() for name, part in _weights(folder)}


def projection(folder: Path) -> np.ndarray:
    """The weights of the projection, float32 (dim, hidden). Raises DataError if there is none."""
    for name, part in _weights(folder):
        if name == LINEAR:
            return np.asarray(part[:].float())
    raise DataError(f"checkpoint {folder}: its weights lack {LINEAR!r}; are they another model's?")


def backbone(folder: Path, read: dict[str, Any]) -> str:
    """A name for what decides the vectors before the projection: all but the projection and its size."""
    import torch

    kept = {key: value for key, value in read.items() if key not in ("dim", "frozen_backbone")}
    weights = [
        (name, hashlib.sha256(part[...].reshape(-1).contiguous().view(torch.uint8).numpy()).hexdigest())
        for name, part in _weights(folder)
        if name != LINEAR
    ]
    tokenizer = [(name, checksum(folder / name)) for name in TOKENIZER if (folder / name).exists()]
    return digest("backbone", kept, settings(folder / "config.json"), weights, tokenizer)


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    """(name, slice) of every weight."""
    return ((name, part) for _, name, part in tensors(sorted(folder.glob("model*.safetensors"))))
