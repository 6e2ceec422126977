"""Files of arrays, opened: types and shapes at once, numbers when they are wanted. What is pickled is never opened."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, ClassVar, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from harness.errors import DataError, first_line

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}  # safetensors' name: ours
# what readers raise on damaged files
UNREADABLE: tuple[type[Exception], ...] = (OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError)
UNREADABLE += (MemoryError, SyntaxError, SafetensorError, zipfile.BadZipFile, zlib.error, csv.Error, TokenError)

Head = tuple[str, tuple[int, ...]]
"""An array's dtype and shape."""


class Arrays(Protocol):
    """An open file. heads: dtype and shape by name; about: its metadata; rows(name): an array, read as it is sliced."""

    @property
    def heads(self) -> Mapping[str, Head]: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...

    def rows(self, name: str) -> Any: ...


class Npz:
    """Arrays of a zip, each read whole."""

    metadata: ClassVar[Mapping[str, str]] = {}

    def __init__(self, path: Path):
        self.path, self.archive = path, zipfile.ZipFile(path)
        self.heads = {name.removesuffix(".npy"): self._head(name) for name in self.archive.namelist()}

    def _head(self, name: str) -> Head:
        with self.archive.open(name) as file:
            return _npy_head(file)

    def rows(self, name: str) -> np.ndarray:
        with self.archive.open(f"{name}.npy") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


class Npy:
    """One array, memory-mapped."""

    metadata: ClassVar[Mapping[str, str]] = {}

    def __init__(self, path: Path):
        self.path = path
        with path.open("rb") as file:
            self.heads = {"vectors": _npy_head(file)}

    def rows(self, name: str) -> np.ndarray:
        return np.asarray(np.load(self.path, mmap_mode="r", allow_pickle=False))


class Safetensors:
    """Tensors of a memory-mapped file."""

    def __init__(self, path: Path):
        self.file = _safetensors(path)
        slices = {name: self.file.get_slice(name) for name in [*self.file.keys()]}
        self.heads = {
            name: (DTYPES.get(one.get_dtype(), one.get_dtype()), tuple(one.get_shape())) for name, one in slices.items()
        }
        self.metadata: dict[str, str] = self.file.metadata() or {}

    def rows(self, name: str) -> Any:
        return Tensor(self.file.get_slice(name))


def _safetensors(path: Path) -> Any:
    return safe_open(path, framework="pt")  # numpy has no bfloat16


class Tensor:
    """A tensor of a file as numpy sees it."""

    def __init__(self, rows: Any):
        self.rows = rows

    def __getitem__(self, at: slice | int) -> np.ndarray:
        found = self.rows[at]
        return np.asarray((found.float() if self.rows.get_dtype() == "BF16" else found).numpy())


OPENED: dict[str, Callable[[Path], Arrays]] = {".npz": Npz, ".npy": Npy, ".safetensors": Safetensors}


def _npy_head(file: Any) -> Head:
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = heads[np.lib.format.read_magic(file)](file)
    return dtype.name, shape


@contextmanager
def named(path: Path) -> Iterator[None]:
    """What a damaged file raises, as one line that names it."""
    try:
        yield
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); write it again") from None
