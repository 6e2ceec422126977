"""Vectors written as ``--checkpoint embeddings:FOLDER`` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from harness.encoders.tables import MANY
from harness.errors import OptionError, examples
from harness.files import write_atomically


def save_vectors(
    folder: str | Path, ids: Sequence[Any], vectors: Iterable[Any], role: str = "document", overwrite: bool = False
) -> Path:
    """Write vectors for ``--checkpoint embeddings:FOLDER``: the file's path, ``documents.safetensors`` of a folder.

    ids: the dataset's; vectors: an array or a tensor (p, d) for each id; role: document, or query.
    Raises OptionError if the file is there and may not be overwritten, or if ids and vectors do not fit each other.
    """
    if role not in MANY:
        raise OptionError(f"role {role!r} must be document or query")
    arrays, names = [_array(one) for one in vectors], list(map(str, ids))
    path = Path(folder) / f"{MANY[role]}.safetensors"
    if path.exists() and not overwrite:
        raise OptionError(f"{path} is there already; give overwrite=True to write over it, or another folder")
    if len(set(names)) != len(arrays) or len(names) != len(arrays):
        raise OptionError(f"{len(names):,} ids, {len(set(names)):,} of them different, for {len(arrays):,} arrays")
    if wrong := [name for name, one in zip(names, arrays, strict=True) if one.ndim != 2 or one.dtype.kind != "f"]:
        raise OptionError(f"vectors of {examples(wrong)} are no array of floats with the shape (patches, dimensions)")
    if len(dims := {one.shape[1] for one in arrays}) != 1:
        raise OptionError(f"vectors have {', '.join(map(str, sorted(dims))) or 'no'} dimensions; all need the same")
    counts = np.array([len(array) for array in arrays], np.int64)
    tensors = {"vectors": np.ascontiguousarray(np.concatenate(arrays)), "counts": counts}
    write_atomically(path, save(tensors, {"ids": json.dumps(names)}))
    return path


def _array(given: Any) -> np.ndarray:
    """An array, or a tensor of any kind, as numpy has it."""
    if hasattr(given, "detach"):
        given = given.detach().cpu()
        given = (given.float() if str(given.dtype) == "torch.bfloat16" else given).numpy()
    return np.asarray(given)
