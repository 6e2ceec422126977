"""What lies in the folder of a checkpoint, and what is wrong with it in one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import DataError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
NO_TOKENIZER = f"has no {TOKENIZER[0]}; copy the tokenizer's files from the model it was trained from"
POINTER = b"version https://git-lfs.github.com/spec/"  # what Git LFS leaves in a file's place


def holds(folder: Path, names: Sequence[str]) -> bool:
    return any((folder / name).exists() for name in names)


def check_files(folder: Path) -> None:
    """Raise DataError without a tokenizer or weights in safetensors: a pickle can run code when it is read."""
    if not holds(folder, TOKENIZER):
        raise DataError(
            f"{folder} has no {TOKENIZER[0]}; copy the tokenizer's files from the model it was trained from"
        )
    check_weights(folder)
    check_pointers(folder, ("config.json", *TOKENIZER))


def check_weights(folder: Path, names: Sequence[str] = WEIGHTS) -> None:
    """Raise DataError if a folder has no weights of these names, or has pickled ones, or what Git LFS leaves."""
    if not holds(folder, names):
        pickled = [name for name in PICKLED if (folder / name).exists()]
        if not pickled:
            raise DataError(f"{folder} has no {names[0]}; fetch the checkpoint again")
        line = f"{folder} has no {names[0]}, and {pickled[0]} is a pickle, which can run code when it is read"
        raise DataError(f"{line}; give --convert to eval, stress, gradients or compare if you trust where it is from")
    check_pointers(folder, names)


def check_pointers(folder: Path, names: Sequence[str]) -> None:
    """Raise DataError if a file is only the pointer that Git LFS leaves where it fetched nothing."""
    for name in names:
        path = folder / name
        if path.exists():
            with path.open("rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    line = f"{path} is a Git LFS pointer, not the file itself"
                    raise DataError(f"{line}; run `git lfs pull` in the folder, or fetch the checkpoint again")


def unrecognised(folder: Path) -> str:
    """Why no family recognises a folder, with the next step."""
    if (folder / "snapshots").is_dir():  # models--owner--name of a hub's cache
        found = sorted(path.name for path in (folder / "snapshots").iterdir() if path.is_dir())
        main = folder / "refs" / "main"
        revision = main.read_text(encoding="utf-8").strip() if main.is_file() else (found or ["REVISION"])[0]
        return f"{folder} is the outer folder of a hub's cache; give {folder / 'snapshots' / revision}"
    if not (folder / "config.json").exists():
        return f"{folder} holds no config.json; is it a model folder?"
    return f"{folder} {NO_TOKENIZER}"
