"""torchvision as the package index has it, beside a torch that is built for the CPU alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

libraries: list[object] = []  # a library of operators ends with the object that defines it


def mend_torchvision() -> None:
    """Let torchvision be imported where it is built for CUDA and torch is not: to be called before transformers is.

    Its own operators do not load there, and its import fails for two of them, which it describes whether they are
    there or not. transformers needs none: it resizes images with functions written in torch.
    """
    if libraries or not _built_for_cuda("torchvision") or _built_for_cuda("torch"):
        return
    import torch

    kind: Any = torch.library.Library
    library = kind("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    libraries.append(library)


def _built_for_cuda(name: str) -> bool:
    """Whether a package says so in its version, which is read as text: importing it may fail, and takes a second."""
    spec = importlib.util.find_spec(name)
    path = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    return bool(path and path.exists() and "+cu" in path.read_text(encoding="utf-8"))
