"""The modules of a sentence-transformers folder: what ``modules.json`` lists, and the Dense layers among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.encoders.settings import settings
from harness.errors import DataError, first_line

if TYPE_CHECKING:
    import torch

CONFIG = "config_sentence_transformers.json"
WEIGHTS = "model.safetensors"
ACTIVATIONS = ("Identity", "Tanh", "ReLU", "GELU", "SiLU", "Sigmoid")  # of torch.nn
PLAIN = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout", "LayerNorm")  # around a transformer's tokens


@dataclass(frozen=True)
class Module:
    """kind: the last part of its class's name; path: its folder inside the checkpoint's."""

    kind: str
    path: str


def modules(folder: Path) -> list[Module]:
    """What ``modules.json`` lists, in order. Raises DataError naming the file."""
    path = folder / "modules.json"
    listed = settings(path, list)
    try:
        found = [Module(str(module["type"]).split(".")[-1], str(module["path"]) or ".") for module in listed]
    except (KeyError, TypeError):
        raise DataError(f"{path} cannot be read: a module has no type or no path") from None
    for module in found:
        if Path(module.path).is_absolute() or ".." in Path(module.path).parts:
            raise DataError(f"{path} names {module.path!r}, which lies outside the checkpoint")
    return found


def places(folder: Path, parts: Sequence[Module], supported: str, least: int = 0) -> tuple[str, list[str]]:
    """The folders of one Transformer and of the Dense layers after it. Raises DataError if there is anything else."""
    kinds = [part.kind for part in parts]
    if kinds[:1] != ["Transformer"] or len(kinds) < 1 + least or {*kinds[1:]} - {"Dense"}:
        listed = ", ".join(kinds) or "nothing"
        raise DataError(f"{folder / 'modules.json'} lists {listed}; {supported} are supported")
    return parts[0].path, [part.path for part in parts[1:]]


def check_plain(folder: Path) -> None:
    """Raise DataError if a sentence-transformers folder is of another kind than a transformer with pooled tokens."""
    metadata = settings(folder / CONFIG) if (folder / CONFIG).exists() else {}
    if (kind := str(metadata.get("model_type") or "SentenceTransformer")) != "SentenceTransformer":
        raise DataError(f"{folder / CONFIG}: model_type is {kind}, which no family of encoders reads")
    listed = [module.kind for module in modules(folder)] if (folder / "modules.json").exists() else []
    if strange := [kind for kind in listed if kind not in PLAIN]:
        raise DataError(f"{folder / 'modules.json'} lists {', '.join(strange)}, which no family of encoders reads")


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

        projected: torch.Tensor = self.activation(linear(vectors, self.weight, self.bias))
        if not self.residual:
            return projected
        return projected + (vectors if self.shortcut is None else linear(vectors, self.shortcut))


def dense(folder: Path, width: int, dtype: str, device: str) -> Dense:
    """Open a Dense folder that takes vectors of this width. Raises DataError naming the file."""
    import torch
    from safetensors.torch import load_file

    metadata, path = settings(folder / "config.json"), folder / WEIGHTS
    kind = str(metadata.get("activation_function") or "torch.nn.Identity")
    if not kind.startswith("torch.nn.") or kind.split(".")[-1] not in ACTIVATIONS:
        raise DataError(f"{folder / 'config.json'}: activation_function {kind!r} is none of {', '.join(ACTIVATIONS)}")
    try:
        weights = {name: one.to(device, getattr(torch, dtype)) for name, one in load_file(path).items()}
    except Exception as error:  # safetensors' errors share no base class
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    inputs, outputs, residual = (
        metadata.get("in_features"),
        metadata.get("out_features"),
        bool(metadata.get("use_residual")),
    )
    if inputs != width:
        raise DataError(f"{folder / 'config.json'}: in_features is {inputs}, but the layer before gives {width}")
    shapes: dict[str, tuple[Any, ...]] = {"linear.weight": (outputs, inputs)}
    shapes |= {"linear.bias": (outputs,)} if metadata.get("bias", True) else {}
    shapes |= {"residual.weight": (outputs, inputs)} if residual and inputs != outputs else {}
    for name, shape in shapes.items():
        if name not in weights or tuple(weights[name].shape) != shape:
            has = tuple(weights[name].shape) if name in weights else "missing"
            raise DataError(f"{path}: {name} is {has}, but config.json beside it says {shape}")
    bias, shortcut = (weights[name] if name in shapes else None for name in ("linear.bias", "residual.weight"))
    return Dense(weights["linear.weight"], bias, getattr(torch.nn, kind.split(".")[-1])(), residual, shortcut)
