"""Where a plug-in comes from: its module, the distribution that brings it, and a digest of its code.

The code is every file that Python can import in the package of the plug-in, or the one module. Of code that is not
installed, what it imports from beside it counts too: a script with its helpers in the same folder.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.metadata as metadata
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

SUFFIXES = tuple(importlib.machinery.all_suffixes())
IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([A-Za-z_][\w.]*(?:,[ \t]*[A-Za-z_][\w.]*)*)", re.MULTILINE)
INSTALLED = {"site-packages", "dist-packages"}  # parts of the path of what an installer put there


@dataclass(frozen=True)
class Plugin:
    """module: where it is defined; distribution, version: None where none brings it; source: sixteen hex digits."""

    module: str
    distribution: str | None
    version: str | None
    source: str


def outside(plugin: Any) -> bool:
    """Whether a plug-in is another package's than this program's."""
    return module_of(plugin).partition(".")[0] != __name__.partition(".")[0]


def module_of(plugin: Any) -> str:
    """The module that defines a class, a function or a partial one."""
    while isinstance(plugin, functools.partial):
        plugin = plugin.func
    return getattr(plugin, "__module__", None) or type(plugin).__module__


def origin(plugin: Any, source: str | None = None) -> Plugin:
    """Where a plug-in comes from. source: its digest, where it was taken before."""
    module = module_of(plugin)
    distribution = _distribution(module.partition(".")[0])
    version = None if distribution is None else distribution.version
    name = None if distribution is None else distribution.name
    return Plugin(module, name, version, source or digest_of(plugin))


def digest_of(plugin: Any) -> str:
    """A digest of the plug-in's code; of its bytecode where it has no file, as in a notebook."""
    place = place_of(module_of(plugin))
    if place is not None:
        return digest_of_files(place)
    return hashlib.sha256("\n".join(map(repr, _bytecode(plugin))).encode()).hexdigest()[:16]


def digest_of_files(place: Path) -> str:
    """A digest of all code of a package or a module, wherever it lies."""
    made = hashlib.sha256()
    for name, path in files(place):
        content = path.read_bytes()
        made.update(f"{name}\n{len(content)}\n".encode() + content)
    return made.hexdigest()[:16]


def place_of(module: str) -> Path | None:
    """The folder of a module's package, or its file where it has none; None where it has no file either."""
    if module == "__main__" and (spec := getattr(sys.modules[module], "__spec__", None)):
        module = spec.name
    parts = module.split(".")
    for end in range(1, len(parts) + 1):  # a namespace that several distributions share has no file of its own
        found = getattr(sys.modules.get(".".join(parts[:end])), "__file__", None)
        if found and Path(found).exists():
            path = Path(found).resolve()
            return path.parent if path.name.startswith("__init__.") else path
    return None


def files(place: Path) -> Iterator[tuple[str, Path]]:
    """(name, path) of all code of a package or a module and, where not installed, of what it imports beside it."""
    waiting, seen = [place], set[Path]()
    while waiting:
        if (one := waiting.pop()) in seen:
            continue
        seen.add(one)
        code = [one] if one.is_file() else sorted(path for path in one.rglob("*") if _is_code(path))
        yield from ((path.relative_to(one.parent).as_posix(), path) for path in code)
        if not INSTALLED.intersection(one.parts):
            waiting += [beside for name in sorted(_imported(code)) if (beside := _beside(one, name))]


def _is_code(path: Path) -> bool:
    return path.name.endswith(SUFFIXES) and "__pycache__" not in path.parts and path.is_file()


def _beside(place: Path, name: str) -> Path | None:
    """What an absolute import of a name finds in the folder that a package or a module lies in."""
    if name == __name__.partition(".")[0]:
        return None
    there = [place.parent / name, *(place.parent / f"{name}{suffix}" for suffix in SUFFIXES)]
    return next((path for path in there if path.is_file() or any(path.glob("*.py"))), None)


def _imported(code: Iterable[Path]) -> set[str]:
    """First names of all that some files import absolutely, and perhaps some words of their prose."""
    lines = [line for path in code if path.suffix == ".py" for line in IMPORT.findall(path.read_bytes())]
    return {name.strip().partition(b".")[0].decode() for one in lines for name in one.split(b",")}


def _bytecode(thing: Any) -> Iterator[Any]:
    """What the functions of a plug-in do, without the names of files and the numbers of lines."""
    if isinstance(thing, CodeType):
        yield thing.co_code, thing.co_names
        yield from (part for constant in thing.co_consts for part in _bytecode(constant))
    elif isinstance(thing, type):
        for name, member in sorted(vars(thing).items()):
            if not name.startswith("__") or hasattr(member, "__code__"):
                yield name
                yield from _bytecode(member)
    elif isinstance(thing, functools.partial):
        yield from (part for one in (thing.func, *thing.args, *thing.keywords.items()) for part in _bytecode(one))
    elif isinstance(thing, tuple):
        yield from (part for one in thing for part in _bytecode(one))
    elif isinstance(thing, frozenset):
        yield sorted(map(repr, thing))
    elif isinstance(thing, int | float | complex | str | bytes | None):
        yield thing
    else:
        function = getattr(thing, "__func__", getattr(thing, "fget", thing))
        code = getattr(function, "__code__", None)
        yield from [type(thing).__name__] if code is None else _bytecode((code, function.__defaults__))


def _distribution(top: str) -> metadata.Distribution | None:
    """The distribution that brings a module; one installed to be edited may be known by its entry points alone."""
    for one in metadata.distributions():
        if any(
            point.group.startswith("harness.") and point.module.partition(".")[0] == top for point in one.entry_points
        ):
            return one
    names = metadata.packages_distributions().get(top)
    return metadata.distribution(names[0]) if names else None
