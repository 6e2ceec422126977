"""Imports point only upward in the list of rooms and in no circle between files, and files and functions stay short."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "harness"
ROOMS = [
    "version",
    "errors",
    "silence",
    "records",
    "packages",
    "plugins",
    "registry",
    "progress",
    "files",
    "randomness",
    "images",
    "trec",
    "readers",
    "options",
    "interrupts",
    "engines",
    "corpora",
    "encoders",
    "vectors",
    "candidates",
    "aggregators",
    "scoring",
    "statistics",
    "training",
    "worlds",
    "audit",
    "schemas",
    "runs",
    "planning",
    "reports",
    "commands",
    "cli",
    "__main__",
]
FILES = sorted(HOUSE.rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


def room(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module or member of one that is imported, wherever the import stands, as a dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(folder: Path) -> dict[str, set[str]]:
    """The files of a package by the files they import, as paths in it. A package that walks through its folder imports
    all files of it."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}
    graph = {}
    for here, path in paths.items():
        text, graph[here] = path.read_text(), set()
        for dotted in imported(ast.parse(text)):
            package, *parts = dotted.split(".")
            if package != folder.name:
                continue
            places = ["/".join(parts[:size]) for size in (len(parts), len(parts) - 1)]  # a module, or a member of one
            candidates = [there for place in places for there in (f"{place}.py", f"{place}/__init__.py".lstrip("/"))]
            graph[here] |= {next((there for there in candidates if there in paths), "__init__.py")}
        if path.name == "__init__.py" and "iter_modules" in text:
            inside = {one.relative_to(folder).as_posix() for one in path.parent.glob("*.py")}
            graph[here] |= inside - {here}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Files that import each other in a circle, if any."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_upward(path):
    here = room(path)
    if here == "__init__":
        return
    assert here in ROOMS, f"{here} has no place in the list of rooms"
    dotted = [one.split(".") for one in imported(ast.parse(path.read_text()))]
    others = {parts[1] for parts in dotted if parts[0] == "harness" and len(parts) > 1} - {here}
    below = {other for other in others if ROOMS.index(other) > ROOMS.index(here)}
    assert not below, f"{here} imports {below}, which lie below it"


def test_no_file_imports_itself_through_others():
    assert circle(files(HOUSE)) == []


def test_a_circle_inside_a_package_is_seen(tmp_path):
    folder = tmp_path / "house"
    (folder / "room").mkdir(parents=True)
    texts = {"__init__": "", "a": "import house.b", "b": "from house.room.c import d", "room/c": "d = 1"}

    def found(**changes: str) -> list[str]:
        for file, text in (texts | {"room/" + file: text for file, text in changes.items()}).items():
            (folder / f"{file}.py").write_text(text)
        return circle(files(folder))

    assert found() == []
    assert set(found(c="def f():\n    from house import a")) == {"a.py", "b.py", "room/c.py"}
    walks = "import pkgutil\nfor one in pkgutil.iter_modules(__path__): print(one)"
    assert set(found(__init__=walks, c="from house.room import e")) == {"room/__init__.py", "room/c.py"}


@pytest.mark.parametrize(
    ("package", "user"),
    [
        ("faiss", "candidates/faiss_index.py"),
        ("triton", "scoring/fused.py"),
        ("ray", "engines/ray.py"),
        ("numba", "scoring/llvm.py"),  # and so its core and its extending, of which it promises nothing
        ("llvmlite", "scoring/llvm.py"),
    ],
)
def test_only_one_file_imports(package, user):
    users = [path for path in FILES if package in {one.split(".")[0] for one in imported(ast.parse(path.read_text()))}]
    assert [name(path) for path in users] == [user]


def test_folders_of_files_are_no_packages():
    for folder in ("datasets", "runs", "reports"):
        assert not (ROOT / folder / "__init__.py").exists(), f"{folder}/__init__.py would shadow a package"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_as_long_as_its_idea(path):
    assert len(path.read_text().splitlines()) <= 400
