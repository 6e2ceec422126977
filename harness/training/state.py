"""A training's state on disk: weights, optimizer and history in one file, whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from safetensors.torch import save as serialise

from harness.files import sealed, unsealed


def save(path: Path, state: dict[str, torch.Tensor], epochs: list[dict[str, Any]]) -> None:
    """A training's state with the history up to it, in one file: it is there, whole, or it is not."""
    with sealed(path) as write:
        write(serialise(state, {"epochs": json.dumps(epochs)}))


def read(path: Path, tell: Callable[[str], None]) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]] | None:
    """(state, history up to it) of a file; None if it is not there or, which is said, damaged."""
    if not path.exists():
        return None
    if (content := unsealed(path)) is None:
        tell(f"{path} is damaged; this training begins anew")
        return None
    size = int.from_bytes(content[:8], "little")
    return load(content), json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["epochs"])
