"""Words that say nothing of what a thing is may not name it, beyond the few lines in which everyone sees what it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "harness").rglob("*.py"))

VAGUE = {"about", "alone", "answer", "found", "kept", "made", "mine", "one", "put", "room", "said", "seen", "told"}
"""Names for variables of a few lines at most, and for nothing else."""

FEW = 8
"""Lines from where a variable is bound to where it is last used."""

Scope = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
)


def scopes(tree: ast.Module) -> Iterator[ast.AST]:
    yield tree
    yield from (node for node in ast.walk(tree) if isinstance(node, Scope | ast.ClassDef))


def inside(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, without those of functions and classes in it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, Scope | ast.ClassDef):
            yield from inside(child)


def defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of functions, classes, parameters of functions, and fields and constants."""
    for scope in scopes(tree):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield scope.lineno, scope.name
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            given = scope.args
            for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs]:
                yield argument.lineno, argument.arg
        if isinstance(scope, ast.ClassDef | ast.Module):
            for node in scope.body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    yield node.lineno, node.target.id
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def lasting(tree: ast.Module) -> Iterator[tuple[int, str, int]]:
    """(line, name, lines) of variables, from the first line that names them to the last."""
    for scope in scopes(tree):
        lines: dict[str, list[int]] = {}
        bound = set()
        for node in inside(scope):
            if isinstance(node, ast.Name):
                lines.setdefault(node.id, []).append(node.lineno)
                if isinstance(node.ctx, ast.Store):
                    bound.add(node.id)
        for name in bound:
            yield min(lines[name]), name, max(lines[name]) - min(lines[name])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "harness")))
def test_a_name_says_what_the_thing_is(path):
    tree = ast.parse(path.read_text())
    vague = [f"{path.name}:{line} {name}" for line, name in defined(tree) if name in VAGUE]
    vague += [
        f"{path.name}:{line} {name}, for {span} lines"
        for line, name, span in lasting(tree)
        if name in VAGUE and span > FEW
    ]
    assert not vague, "\n".join(vague)
