"""What lies in the folder of a page-image checkpoint, checked by name and shape before a model is built of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.encoders import files
from harness.encoders.base import download
from harness.encoders.files import WEIGHTS
from harness.encoders.settings import settings
from harness.encoders.transformer import tensors
from harness.errors import DataError, examples
from harness.packages import install

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
ENGINE, NATIVE = "colpali_engine.models", "transformers"
DIM = 128  # of colpali-engine's projections


@dataclass(frozen=True)
class Kind:
    """The classes that read a checkpoint, and the weights of its projection where their shape is fixed."""

    module: str
    model: str
    processor: str
    images: str
    projection: str = "custom_text_proj.weight"


KINDS = {  # by the architecture that config.json names
    "ColPali": Kind(ENGINE, "ColPali", "ColPaliProcessor", "SiglipImageProcessor"),
    "ColQwen2": Kind(ENGINE, "ColQwen2", "ColQwen2Processor", "Qwen2VLImageProcessor"),
    "ColQwen2_5": Kind(ENGINE, "ColQwen2_5", "ColQwen2_5_Processor", "Qwen2VLImageProcessor"),
    "ColIdefics3": Kind(ENGINE, "ColIdefics3", "ColIdefics3Processor", "Idefics3ImageProcessor", "linear.weight"),
    "ColPaliForRetrieval": Kind(NATIVE, "ColPaliForRetrieval", "ColPaliProcessor", "SiglipImageProcessor", ""),
    "ColQwen2ForRetrieval": Kind(NATIVE, "ColQwen2ForRetrieval", "ColQwen2Processor", "Qwen2VLImageProcessor", ""),
}
MODEL_TYPES = {"colpali": "ColPaliForRetrieval", "colqwen2": "ColQwen2ForRetrieval"}


def recognises(folder: Path) -> bool:
    """Whether a folder is of one of these kinds, or an adapter alone, whose base must tell."""
    alone = (folder / ADAPTER_CONFIG).exists() and not (folder / "config.json").exists()
    return alone or not KINDS.keys().isdisjoint([*_architectures(folder), *_adapted(folder)])


def _architectures(folder: Path) -> list[str]:
    """Names in config.json; transformers 4.57 writes those of Qwen2-VL's kin into ``text_config``."""
    path = folder / "config.json"
    found = settings(path) if path.exists() else {}
    text = found.get("text_config")
    named = found.get("architectures") or (text.get("architectures") if isinstance(text, dict) else None)
    names = [str(one) for one in named] if isinstance(named, list) else []
    return [*names, *(MODEL_TYPES[one] for one in [str(found.get("model_type"))] if one in MODEL_TYPES)]


def _adapted(folder: Path) -> list[str]:
    """The class that an adapter says it was trained on."""
    path = folder / ADAPTER_CONFIG
    told = settings(path).get("auto_mapping") if path.exists() else None
    return [str(told.get("base_model_class"))] if isinstance(told, dict) else []


def base_of(folder: Path) -> Path:
    """The folder whose weights an adapter changes: beside it, named by its path, or of the hub."""
    path = folder / ADAPTER_CONFIG
    name = settings(path).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise DataError(f"{path} names no base_model_name_or_path; name the folder or hub id of the model it adapts")
    base = next((one for one in (folder / name, Path(name)) if one.is_dir()), None)
    if base is None and ("/" not in name.strip("/") or name.startswith(("/", ".", "~"))):
        raise DataError(f"{path}: base model {name!r} is no such folder; write where it lies now, or a hub id")
    base = base or download(name)
    if (base / ADAPTER_CONFIG).exists():
        raise DataError(f"{path}: base model {base} is an adapter itself; merge it into its base first")
    return base


def kind_of(folder: Path, base: Path) -> Kind:
    """The classes of a checkpoint, by its base's architecture or the adapter's own word for it."""
    names, path = [*_architectures(base), *_adapted(folder)], base / "config.json"
    kind = next((KINDS[name] for name in names if name in KINDS), None)
    if kind is None:
        told = ", ".join(names) or "nothing"
        raise DataError(f"{path} names the architecture {told}; adapters are read of {', '.join(KINDS)}")
    needs = [kind.module.split(".")[0], *(["peft"] if folder != base else [])]
    if any(importlib.util.find_spec(name) is None for name in needs):
        raise DataError(f"checkpoint {folder} reads page images, which needs more: {install('vision')}")
    return kind


def check_weights(folder: Path, names: Sequence[str] = WEIGHTS) -> list[Path]:
    """The safetensors files of a folder. Raises DataError if one is missing or is pickled."""
    files.check_weights(folder, names)
    path = next(folder / name for name in names if (folder / name).exists())
    if path.suffix != ".json":
        return [path]
    parts = settings(path).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise DataError(f"{path} cannot be read: it has no weight_map")
    shards = sorted({str(part) for part in parts.values()})
    if strange := [name for name in shards if not name.endswith(".safetensors") or len(Path(name).parts) > 1]:
        raise DataError(f"{path} names {examples(strange)}; weights are read from safetensors files beside it alone")
    if absent := [name for name in shards if not (folder / name).exists()]:
        raise DataError(f"{path} names {examples(absent)}, which is missing; fetch the checkpoint again")
    return [folder / name for name in shards]


def check_projection(files: Sequence[Path], kind: Kind) -> None:
    """Raise DataError if the projection on disk does not give as many dimensions as its class has."""
    for path, name, part in tensors(files):
        if kind.projection and name == kind.projection and part.get_shape()[0] != DIM:
            what = f"{name} has shape {part.get_shape()}, but {kind.model} gives vectors of {DIM} dimensions"
            raise DataError(f"{path}: {what}; are they another model's?")


def check_adapter(path: Path, model: Any) -> None:
    """Raise DataError unless every trained layer of an adapter found its place: peft itself only warns."""
    trained = sum(bool(part[:].any()) for _, name, part in tensors([path]) if "lora_B" in name)
    placed = sum(bool(one.any()) for name, one in model.named_parameters() if "lora_B" in name)
    if placed < trained:
        lost = f"{trained - placed:,} of {trained:,} layers have no place in the base model"
        raise DataError(f"{path}: {lost} that adapter_config.json names; is it another model's?")


def broken(files: Sequence[Path]) -> str:
    """The file and the first weights in it that are no finite numbers, or the files' folder if all are."""
    for path, name, part in tensors(files):
        if not part[:].isfinite().all():
            return f"{path}: {name} holds NaN or infinite numbers"
    return f"{files[0].parent}: the weights give NaN or infinite numbers"
