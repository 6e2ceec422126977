"""The scoring pass: every aggregator at every length from one multiplication of each document."""

from __future__ import annotations

import functools
from pathlib import Path

from harness import packages
from harness.files import digest

PACKAGE = Path(__file__).parents[1]
COMPILERS = ("numba", "llvmlite")


def compiled_sources() -> list[Path]:
    """Every file that a compiled function may take code or a constant from."""
    return sorted([*(PACKAGE / "scoring").rglob("*.py"), PACKAGE / "vectors" / "injections" / "base.py"])


@functools.cache
def compiled_digest() -> str:
    """Sixteen hex digits that name the compiled code: of its sources, and of the versions of what compiles them."""
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in compiled_sources()}
    return digest(sources, packages.of(*COMPILERS))
