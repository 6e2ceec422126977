"""Pickled weights as safetensors: read in a process of its own, by torch's reader that builds nothing but tensors.

python -m harness.encoders.converting PICKLE SAFETENSORS
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from harness.encoders.files import PICKLED, WEIGHTS, holds
from harness.encoders.settings import settings
from harness.errors import DataError, first_line
from harness.files import cache_folder, checksum, digest, lock

SAFE = (2, 6)  # from this torch on nothing in a pickle gets past the reader of tensors (CVE-2025-32434)


def converted(folder: Path) -> Path:
    """The folder itself, or, where weights in it are only pickled, a copy under the cache with safetensors instead.

    Raises DataError naming the file and what is wrong with it.
    """
    files = [path for path in sorted(folder.rglob("[!.]*")) if path.is_file() and not _hidden(path, folder)]
    pickles = [path for path in files if path.match("pytorch_model*.bin") and not holds(path.parent, WEIGHTS)]
    if not pickles:
        return folder
    if tuple(int(part) for part in version("torch").split(".")[:2]) < SAFE:
        raise DataError(f"{pickles[0]} is not converted with torch {version('torch')}; install torch 2.6 or newer")
    others = [path for path in files if path.suffix != ".bin"]
    name = digest([(path.relative_to(folder).as_posix(), checksum(path)) for path in (*others, *pickles)])
    copy = cache_folder() / "converted" / name
    with lock(copy, "converting this checkpoint"):
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=copy.parent, prefix=".part-") as part:
                _copy(folder, Path(part) / name, others, pickles)
                (Path(part) / name).replace(copy)
    return copy


def _hidden(path: Path, folder: Path) -> bool:
    """Whether a file lies in a hidden folder, such as a repository's own."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _copy(folder: Path, copy: Path, others: list[Path], pickles: list[Path]) -> None:
    for path in others:
        place = copy / path.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.name == PICKLED[1]:
            index = settings(path)
            index["weight_map"] = {key: _renamed(str(file)) for key, file in index.get("weight_map", {}).items()}
            place.with_name(WEIGHTS[1]).write_text(json.dumps(index), encoding="utf-8")
        else:
            shutil.copyfile(path, place)
    for path in pickles:
        place = copy / path.relative_to(folder)
        command = [sys.executable, "-m", __name__, str(path.absolute()), str(place.with_name(_renamed(path.name)))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it ended without a word"]
            raise DataError(f"{path} cannot be converted: {lines[-1]}")


def _renamed(name: str) -> str:
    """``pytorch_model-00001-of-00002.bin`` as ``model-00001-of-00002.safetensors``."""
    return name.removeprefix("pytorch_").removesuffix(".bin") + ".safetensors"


def main(source: Path, place: Path) -> None:
    """Read one file of tensors by name and write them. Exits with one line if it holds anything else."""
    import torch
    from safetensors.torch import save_file

    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises on a pickle that is more than tensors, or is damaged
        raise SystemExit(f"it holds more than tensors, or is damaged: {first_line(error)}") from None
    if not isinstance(weights, dict) or not all(isinstance(weight, torch.Tensor) for weight in weights.values()):
        raise SystemExit("it holds something other than tensors by name")
    save_file({str(name): weight.clone().contiguous() for name, weight in weights.items()}, place, {"format": "pt"})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
