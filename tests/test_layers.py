"""Imports point only upward in the list of rooms, and the house keeps its manners."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [
    *(
        "errors",
        "records",
        "registry",
        "progress",
        "files",
        "work",
        "randomness",
        "corpora",
        "encoders",
        "shards",
        "store",
        "lengths",
        "injection",
        "indexes",
        "candidates",
    ),
    *("aggregators", "scoring", "concentration", "metrics", "stats", "degradation", "worlds", "training", "engines"),
    "audit",
    "planning",
    *("schemas", "runs", "comparison", "reports", "config", "pipeline", "cli"),
]
FILES = sorted((ROOT / "harness").rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT / "harness").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Rooms a file imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "harness":
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("harness.")}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_upward(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in ROOMS, f"{here} has no place in the list of rooms"
    below = {other for other in imported(path) - {here} if ROOMS.index(other) > ROOMS.index(here)}
    assert not below, f"{here} imports {below}, which lie below it"


@pytest.mark.parametrize("package, user", [("faiss", "indexes.py"), ("triton", "fused.py"), ("ray", "ray.py")])
def test_only_one_file_imports(package, user):
    assert [path.name for path in FILES if package in {name.split(".")[0] for name in modules(path)}] == [user]


def modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_folders_of_files_are_no_packages():
    for folder in ("datasets", "runs", "reports"):
        assert not (ROOT / folder / "__init__.py").exists(), f"{folder}/__init__.py would shadow a package"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name not in {
            "eval_",
            "synth",
            "evaluate",
            "score_run",
            "resolve",
        }:
            assert node.end_lineno - node.lineno < 40, f"{node.name} is too long"
