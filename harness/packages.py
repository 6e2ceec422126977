"""Versions of the packages that can change a number: one list, made from the distribution's own requirements."""

from __future__ import annotations

import importlib.metadata as metadata
import platform
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from harness.version import __version__

DISTRIBUTION = "late-interaction-harness"
TOOLS = ("bench", "dev")  # extras that check the program, or that it is compared with: they change no figure of a run
FAISS = ("faiss", "faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")  # distributions of one module
CARRIED = {"_vendor", "thirdparty_files"}  # folders of setuptools and of Ray, which put them on Python's path
MODELS = ("torch", "transformers", "tokenizers", "numpy", "sentencepiece", "tiktoken", "regex")
"""What computes the vectors of any transformer: the model, and every kind of tokenizer that transformers opens."""


def versions() -> dict[str, str]:
    """Versions of Python, of this program, of all that it requires and of what these require, where installed.

    Where nothing says what the program requires (a copied folder), every installed package is listed.
    """
    own = {*_installed(DISTRIBUTION), *_declared()}
    theirs = {name for one in own for name in _installed(one)}
    names = {*own, *theirs, *FAISS} if own else {one.name for one in metadata.distributions() if one.name}
    others = sorted({*map(normal, names)} - {DISTRIBUTION, "harness"})  # a package called harness is a stranger's
    return {"python": platform.python_version(), DISTRIBUTION: __version__, **of(*others)}


def of(*names: str) -> dict[str, str]:
    """Versions of those of some packages that are installed, in the order given.

    What other packages carry inside them does not count: whether it is seen depends on what was imported before.
    """
    found = {}
    for name in names:
        try:
            if not _carried(name):
                found[normal(name)] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _carried(name: str) -> bool:
    """Whether another package brings this one along, in a folder of its own."""
    try:
        place = Path(str(metadata.distribution(name).locate_file("")))
    except metadata.PackageNotFoundError:
        return False
    return not CARRIED.isdisjoint(place.parts)


def normal(name: str) -> str:
    """A package's name as indexes compare names: ``PyStemmer`` is ``pystemmer``, ``ir_measures`` is ``ir-measures``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(distribution: str) -> Iterator[str]:
    """Names that an installed distribution requires; of this program's also those of its extras."""
    try:
        required = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for line in required:
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if extra is None or (distribution == DISTRIBUTION and extra[1] not in TOOLS):
            yield _name(line)


def _declared() -> Iterator[str]:
    """Names that the pyproject.toml beside the package requires: a checkout may be newer than what is installed."""
    path = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {}) if path.exists() else {}
    if project.get("name") == DISTRIBUTION:
        extras = project.get("optional-dependencies", {})
        yield from map(_name, project.get("dependencies", []))
        yield from (_name(line) for extra, lines in extras.items() if extra not in TOOLS for line in lines)


def _name(requirement: str) -> str:
    return normal(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0])


def install(extra: str) -> str:
    """The line that installs what an extra of this program needs."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
