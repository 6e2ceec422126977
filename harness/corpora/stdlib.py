"""The running Python's standard library as a known-item collection, read from its source files with ``ast``.

A document is a public module, class or function: its signature, the rest of its docstring and its source. Its query
is the docstring's first sentence, which the document does not hold. Nothing is imported, nothing is downloaded.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import re
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.sources import SOURCES
from harness.records import Document, Qrel, Query

SKIPPED = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "antigravity", "this"}  # tests, programs, jokes
WORDS = 4  # a query of fewer words names nothing
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Item:
    """One documented public definition: its dotted name, first sentence, and the text without that sentence."""

    name: str
    sentence: str
    text: str


@SOURCES.register("stdlib")
def stdlib(card: Card, split: str) -> Collection:
    """Queries that more than one docstring begins with are dropped: they name no single item.

    A fifth of the queries, chosen by a hash of the name, is the ``test`` split; the others are ``train``.
    """
    items = [item for path in sources(Path(sysconfig.get_path("stdlib"))) for item in read(*path)]
    often = Counter(item.sentence.lower() for item in items)
    asked = [item for item in items if often[item.sentence.lower()] == 1 and len(item.sentence.split()) >= WORDS]
    asked = [item for item in asked if (_fifth(item.name) == 0) == (split == "test")]
    return Collection(
        documents=[Document(item.name, item.text) for item in items],
        queries=[Query(f"q:{item.name}", item.sentence) for item in asked],
        qrels=[Qrel(f"q:{item.name}", item.name, 1) for item in asked],
        version=f"Python {platform.python_version()}",
    )


def _fifth(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % 5


def sources(root: Path) -> Iterator[tuple[str, str]]:
    """(dotted name, source) of every public module of the standard library under root, in order of name."""
    for top in sorted(sys.stdlib_module_names):
        for path in [root / f"{top}.py", *sorted((root / top).rglob("*.py"))]:
            parts = [part for part in path.relative_to(root).with_suffix("").parts if part != "__init__"]
            if path.exists() and not any(part.startswith("_") or part in SKIPPED for part in parts):
                yield ".".join(parts), path.read_text(encoding="utf-8", errors="replace")


def read(module: str, source: str) -> Iterator[Item]:
    """Every documented public definition of a module's source, the module itself first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = re.split(r"\r\n|\r|\n", source)  # the lines that ast counts; splitlines() knows others
    names: set[str] = set()
    for name, node in _public(module, tree):
        docstring = ast.get_docstring(node)
        if docstring and name not in names:
            names.add(name)
            sentence, rest = split_docstring(docstring)
            text = "\n".join(part for part in (_head(name, node, lines), rest, _body(node, lines)) if part.strip())
            if sentence:
                yield Item(name, sentence, text)


def _public(name: str, node: ast.Module | Definition) -> Iterator[tuple[str, ast.Module | Definition]]:
    yield name, node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        for child in node.body:
            if isinstance(child, Definition) and not child.name.startswith("_"):
                yield from _public(f"{name}.{child.name}", child)


def split_docstring(docstring: str) -> tuple[str, str]:
    """The first sentence, on one line, and the rest."""
    first, *after = re.split(r"\n\s*\n", docstring.strip(), maxsplit=1)
    found = re.match(r"(.+?[.!?])(?:\s+|$)", first, re.DOTALL)
    sentence = found.group(1) if found else first
    rest = "\n\n".join(part for part in (first[len(sentence) :].strip(), *after) if part)
    return " ".join(sentence.split()), rest


def _head(name: str, node: ast.Module | Definition, lines: list[str]) -> str:
    return f"module {name}" if isinstance(node, ast.Module) else f"{name}\n{_signature(node, lines)}"


def _signature(node: Definition, lines: list[str]) -> str:
    """The source up to the first statement, as it is written; of a one-liner, up to its colon."""
    first = node.body[0]
    return _slice(lines, (node.lineno, 0), (first.lineno, first.col_offset))


def _body(node: ast.Module | Definition, lines: list[str]) -> str:
    """The source after the docstring; inside a module or a class, definitions are cut to their signatures."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _slice(lines, _end(node.body[0]), _end(node)).lstrip("\n;")
    return "\n".join(
        _signature(child, lines)
        if isinstance(child, Definition)
        else _slice(lines, (child.lineno, child.col_offset), _end(child))
        for child in node.body[1:]
    )


def _end(node: ast.stmt) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or 0


def _slice(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The source between two (line, column) places; columns count UTF-8 bytes, as those of ast do."""
    part = [line.encode() for line in lines[start[0] - 1 : end[0]]]
    part[-1] = part[-1][: end[1]]
    part[0] = part[0][start[1] :]
    return b"\n".join(part).decode(errors="replace").rstrip()
