"""Machine code is of the sources that are there, and is compiled under no promise that does not hold."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata as metadata
import importlib.util
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba as nb
import numpy as np
import pytest
from numba.core.datamodel import default_manager
from numba.core.dispatcher import Dispatcher
from numba.core.errors import LoweringError
from numba.extending import _Intrinsic

import harness
import harness.scoring
from harness.commands.provenance import program
from harness.scoring import PACKAGE, caching, compiled_digest, compiled_sources
from harness.scoring.kernels.base import exp2_nonpositive
from harness.scoring.llvm import ANY_ORDER, OPTIONS, vectorised

SMALL = """
from harness.scoring.kernels.base import raise_peak
from harness.scoring.llvm import compiled

@compiled()
def update(sims, first, last, state, _):
    raise_peak(sims, first, last, state[0])
"""
CHILD = """
import json
import numpy as np
from harness.scoring import compiled_digest
from harness.scoring.kernels.small import update
sims, peak = np.array([[1, -4], [5, -3], [2, -9]], np.float32), np.full((1, 2), -9, np.float32)
update(sims, 0, 3, peak, 0.0)
hits, misses = (sum(counts.values()) for counts in update.stats[1:])
print(json.dumps([compiled_digest(), peak.tolist()[0], hits, misses]))
"""


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of the package with one kernel, a small one that inlines a helper of another file."""
    shutil.copytree(PACKAGE, tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    kernels = tmp_path / "harness" / "scoring" / "kernels"
    for path in kernels.iterdir():
        if path.stem not in ("__init__", "base"):
            path.unlink()
    (kernels / "small.py").write_text(SMALL)
    return tmp_path


def in_another_process(copied: Path) -> tuple[str, list[float], int, int]:
    """(digest, largest of each lane, functions loaded, functions compiled) of the copy."""
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment = {**kept, "PYTHONPATH": str(copied), "HARNESS_CACHE": str(copied / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, cwd=copied, stdout=subprocess.PIPE, check=True
    )
    return tuple(json.loads(done.stdout))


def test_a_helper_that_changes_in_another_file_is_compiled_anew_and_what_did_not_change_is_loaded(copied):
    digest, peaks, hits, misses = in_another_process(copied)
    assert (peaks, hits, misses) == ([5.0, -3.0], 0, 1)
    assert [path.name for path in (copied / "cache" / "compiled").iterdir()] == [digest]
    assert in_another_process(copied) == (digest, peaks, 1, 0)
    helper = copied / "harness" / "scoring" / "kernels" / "base.py"
    text, line = helper.read_text(), "peak[w] = larger(sims[p, w], peak[w])"
    assert text.count(line) == 1
    helper.write_text(text.replace(line, f"{line} * np.float32(0.0)"))
    changed, zeros, hits, misses = in_another_process(copied)
    assert (zeros, hits, misses) == ([0.0, 0.0], 0, 1) and changed != digest


def copy_of_sources(folder: Path) -> list[Path]:
    for path in compiled_sources():
        place = folder / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    return sorted(path for path in folder.rglob("*.py"))


def test_the_digest_is_of_every_source_and_of_the_compilers(tmp_path, monkeypatch):
    fresh = compiled_digest.__wrapped__
    sources = copy_of_sources(tmp_path)
    monkeypatch.setattr(harness.scoring, "PACKAGE", tmp_path)
    seen = {fresh()}
    assert seen == {compiled_digest()}
    for source in sources:
        source.write_text(source.read_text() + "\n")
        seen.add(fresh())
    (tmp_path / "scoring" / "another.py").write_text("")
    seen.add(fresh())
    for name in ("numba", "llvmlite"):
        real = metadata.version
        monkeypatch.setattr(metadata, "version", lambda asked, n=name, r=real: "0" if asked == n else r(asked))
        seen.add(fresh())
    assert len(seen) == 1 + len(sources) + 1 + 2


def test_the_manifest_names_the_compiled_code():
    assert program()["versions"]["compiled"] == compiled_digest() and re.fullmatch("[0-9a-f]{16}", compiled_digest())


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(harness.scoring.__path__, "harness.scoring."):
        if not found.name.endswith(".fused"):  # Triton's, which keeps its own cache by what it inlines
            yield importlib.import_module(found.name)


def compiled_functions(module: ModuleType) -> Iterator[tuple[FunctionType, Any]]:
    for value in vars(module).values():
        function = getattr(value, "py_func", None) or getattr(value, "_defn", None)
        if isinstance(value, (Dispatcher, _Intrinsic)) and function.__module__ == module.__name__:
            yield function, value


def names(code: CodeType) -> set[str]:
    """The globals that a function and those inside it use."""
    return set(code.co_names).union(*(names(one) for one in code.co_consts if isinstance(one, CodeType)))


def origins(module: ModuleType) -> dict[str, Path]:
    """Names that a file imports from this package, and the file each is from."""
    found = {}
    for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                source = inner if inner in sys.modules else node.module
                found[alias.asname or alias.name] = Path(sys.modules[source].__file__)
    return found


def test_every_file_that_compiled_code_is_made_of_is_in_the_digest():
    used = {
        module.__file__ and origins(module)[name]
        for module in modules()
        for function, _ in compiled_functions(module)
        for name in names(function.__code__) & set(origins(module))
    }
    assert {
        PACKAGE / "vectors" / "injections" / "base.py",
        PACKAGE / "scoring" / "kernels" / "base.py",
        PACKAGE / "scoring" / "llvm.py",
    } <= used  # the check sees files at all
    assert used <= set(compiled_sources())


def test_all_compiled_code_that_is_kept_is_kept_by_the_digest():
    kept = [one for module in modules() for _, one in compiled_functions(module) if getattr(one, "_cache", None)]
    places = [Path(one._cache.cache_path) for one in kept if one._cache.cache_path]
    assert len(places) > 20 and {place.parent for place in places} == {caching.folder()}


def test_code_that_nobody_used_for_a_day_is_removed(tmp_path):
    place, old, recent, other = (tmp_path / name for name in ("a" * 16, "b" * 16, "c" * 16, "theirs"))
    for folder in (place, old, recent, other):
        (folder / "module").mkdir(parents=True)
        os.utime(folder, (0, 0) if folder != recent else None)
    caching.discard_unused(place)
    assert sorted(tmp_path.iterdir()) == sorted([place, recent, other])


def test_where_the_cache_cannot_be_written_code_is_kept_for_this_process_only(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    place = caching.folder.__wrapped__()
    assert place.is_dir() and PACKAGE not in place.parents
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    assert caching.folder.__wrapped__() == tmp_path / "cache" / "compiled" / compiled_digest()


def test_only_numbers_are_promised_to_share_no_memory():
    """Two rows of one array have the same owner: equal pointers, of which no such promise may be made."""

    @nb.njit(**OPTIONS)
    def add(first, second):
        vectorised()
        for at in range(len(first)):
            second[at] += first[at]

    rows = np.ones((2, 5), np.float32)
    add(rows[0], rows[1])
    assert (rows[1] == 2).all()
    [signature] = add.signatures
    [line] = [line for line in add.inspect_llvm(signature).splitlines() if "define" in line and "%arg.first.0" in line]
    parts = re.findall(r"(?:ptr|i64)([^,%]*)%arg\.(?:first|second)\.(\d+)", line)
    data = default_manager.lookup(signature[0])._fields.index("data")
    assert len(parts) == 14 and {int(at) for said, at in parts if "noalias" in said} == {data}
    assert sum("noalias" in said for said, _ in parts) == 2


@nb.njit(inline="always", **OPTIONS)
def halved(x):
    return exp2_nonpositive(x, np.float32(1.0))


@pytest.mark.parametrize(
    "fastmath", [True, {"fast"}, {"reassoc"}, ANY_ORDER["fastmath"]], ids=["all", "fast", "reassoc", "any order"]
)
def test_an_exponential_is_not_compiled_where_sums_are_taken_in_any_order(fastmath):
    """There nothing is rounded to a whole number, so that the result is wrong."""

    def power(x):
        return halved(x)

    assert nb.njit(**OPTIONS)(power)(np.float32(-3.0)) == 0.125
    with pytest.raises(LoweringError, match="any order: compile what calls it with OPTIONS"):
        nb.njit(fastmath=fastmath)(power)(np.float32(-3.0))
