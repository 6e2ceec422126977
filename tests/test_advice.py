"""What an error advises can be done: what it installs is ours or named on purpose, options, commands and keys exist."""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness import cli, commands, packages
from harness.commands import SUMMARIES, questions
from harness.commands.eval import EvalConfig
from harness.commands.plan import PlanConfig
from harness.commands.synth import SynthConfig
from harness.commands.train import TrainConfig
from harness.corpora.base import Card
from harness.encoders.base import EMBEDDED
from harness.errors import DataError, HarnessError, OptionError
from harness.options import resolve
from harness.reports.sections.list import LISTS
from tests.conftest import TINY
from tests.encoders.test_checkpoints import both_kinds, change

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
COMMANDS = {
    name: {"--help", *(option for one in cli.command(name).params for option in one.opts)} for name in SUMMARIES
}
STRANGERS = {"pylate", "flash-maxsim"}  # others' scorers, named on purpose, that no extra has
FOREIGN = re.compile(r"(pip install|ray start|git) [^;,]*")  # commands of others, with options of their own


def text(node: ast.AST) -> str:
    """A message as the source has it; what is filled in stands as {…}."""
    if isinstance(node, ast.JoinedStr):
        return "".join(text(one) for one in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{" + ast.unparse(node.value) + "}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@functools.cache
def nodes() -> list[tuple[str, ast.AST]]:
    """(where, node) of all sources that print something for users."""
    found = []
    for folder in ("harness", "validation", "benchmarks", "fuzzing"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                found.append((f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node))
    return found


def messages() -> list[tuple[str, str]]:
    """(where, text) of every string of several words but docstrings."""
    inside = {id(one) for _, node in nodes() if isinstance(node, ast.JoinedStr) for one in node.values}
    inside |= {id(node.value) for _, node in nodes() if isinstance(node, ast.Expr)}
    found = [(where, text(node)) for where, node in nodes() if id(node) not in inside]
    return [(where, line) for where, line in found if re.search(r"\w \S", line)]


MESSAGES = messages()


def requirements() -> dict[str, str]:
    """Name → requirement, of the program and of all its extras."""
    lines = [*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)]
    return {packages.normal(re.match(r"[\w.-]+", line)[0]): line for line in lines}


def installs() -> Iterator[tuple[str, str]]:
    """(where, what) of everything that a user is told to install by name."""
    for where, line in MESSAGES:
        for what in re.findall(r"pip install ((?:-\S+ )*(?:'[^']+'|[\w{][^\s;,)]*))", line):
            yield where, re.sub(r"^(-\S+ )*", "", what).strip("'")
    for where, node in nodes():
        if where.startswith("harness/audit/") and isinstance(node, ast.Call) and ast.unparse(node.func) == "needed":
            yield where, text(node.args[2]).strip("'")
    for one in EMBEDDED.values():
        yield "encoders/base.py", one.wheel


def test_whatever_is_to_be_installed_is_ours_or_named_on_purpose():
    known, found = requirements(), list(installs())
    assert len(found) >= 9
    for where, what in found:
        if what.startswith("{"):  # filled in from what this test sees elsewhere
            assert what in ("{package}", "{embedded.wheel}", "{DISTRIBUTION}[{extra}]"), where
            continue
        name = packages.normal(re.match(r"[\w.-]+", what)[0])
        assert name != "harness", f"{where} sends users to a stranger's package"
        assert name in known or name in STRANGERS or name == packages.DISTRIBUTION, f"{where}: {what}"


def test_every_extra_that_is_named_exists():
    calls = [
        (where, text(node.args[0]))
        for where, node in nodes()
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "install"
    ]
    assert {extra for _, extra in calls} >= {"ray", "vision"}
    for where, extra in calls:
        assert extra in EXTRAS, where
    assert packages.install("ray") == "pip install 'late-interaction-harness[ray]'"


def test_a_wheel_with_a_checksum_is_installed_in_the_version_that_has_it():
    for one in EMBEDDED.values():
        assert one.wheel in EXTRAS["embedded"] and "==" in one.wheel


def test_every_option_that_is_named_exists():
    options, seen = set().union(*COMMANDS.values()), 0
    for where, line in MESSAGES:
        if not where.startswith("harness/"):  # whose options are their own
            continue
        line = FOREIGN.sub("", line)
        for option in re.findall(r"(?:^|[\s'\"`])(--[a-z][a-z-]*[a-z])", line):
            seen += 1
            named = re.search(r"harness (\w+)\b[^;,.]*?" + option, line)
            holds = COMMANDS.get(named[1], options) if named else options
            assert option in holds, f"{where}: {line}"
    assert seen > 30


def advised(node: ast.AST) -> set[str]:
    return {option for part in ast.walk(node) for option in re.findall(r"give (--[a-z-]+)", text(part))}


def test_every_option_that_a_command_advises_is_that_commands():
    seen = 0
    for name in SUMMARIES:
        for option in advised(ast.parse(Path(commands.file(name).__file__).read_text())):
            assert option in COMMANDS[name], f"{name}: {option}"
            seen += 1
    for node in ast.parse(Path(questions.__file__).read_text()).body:
        if isinstance(node, ast.ClassDef):
            asked = [
                name for name in SUMMARIES if issubclass(commands.file(name).CONFIG, getattr(questions, node.name))
            ]
            for option in advised(node):
                assert asked and all(option in COMMANDS[name] for name in asked), f"{node.name}: {option}"
                seen += 1
    assert seen >= 4


def test_every_command_list_and_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+(?: [a-z-]+)*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets = {one for line in targets for one in line.split()}
    for where, line in MESSAGES:
        for command in re.findall(r"`?harness ([a-z]+)(?= (?:--|\w+ shows|\w+`)|`)", line):
            assert command in COMMANDS, f"{where}: {line}"
        for name in re.findall(r"harness list (\w+)", line):
            assert name in LISTS, f"{where}: {line}"
        for target in re.findall(r"(?:`|: |run )make ([a-z-]+)\b", line):
            assert target in targets, f"{where}: {line}"


def test_every_key_of_a_card_that_is_named_exists():
    keys = {field.name for field in dataclasses.fields(Card)}
    for where, line in MESSAGES:
        if re.search(r"\bcard\b", line):
            for key in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", re.sub(r"\{[^}]*\}", "", line)):
                assert key in keys, f"{where}: {line}"


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (EvalConfig, {"measures": "nDCG@200"}),
        (PlanConfig, {}),
        (SynthConfig, {"every": 3}),
        (TrainConfig, {"batch": 1, "split": "test"}),
    ],
)
def test_a_question_that_follows_the_advice_is_accepted(kind, given):
    given |= {"dataset": str(TINY)} if "dataset" in kind.__dataclass_fields__ else {}
    with pytest.raises(OptionError) as caught:
        resolve(kind, **given)
    advice = dict(re.findall(r"give --([a-z-]+) ([^\s,;]+)", str(caught.value)))
    assert advice
    resolve(kind, **given | {name.replace("-", "_"): value for name, value in advice.items()})


def test_an_advised_fill_works_where_the_default_does_not(tmp_path):
    (tmp_path / "one" / "qrels").mkdir(parents=True)
    (tmp_path / "one" / "corpus.jsonl").write_text('{"_id": "d", "text": "a fox"}\n')
    (tmp_path / "one" / "queries.jsonl").write_text('{"_id": "q", "text": "which fox"}\n')
    (tmp_path / "one" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    question = {"dataset": str(tmp_path / "one"), "lengths": [8], "candidates": "exact", "output": tmp_path / "runs"}
    with pytest.raises(DataError, match="use gaussian") as caught:
        harness.evaluate(**question)
    fill = re.search(r"use (\w+)$", str(caught.value))[1]
    assert len(harness.evaluate(**question, fill=fill).summary)


def test_code_of_a_checkpoint_is_refused_with_an_option_of_the_commands_that_are_named(tmp_path):
    folder = both_kinds(tmp_path)["colbert"]
    change(folder / "config.json", auto_map={"AutoModel": "mine.Model"})
    for command in (harness.evaluate, harness.train):
        with pytest.raises(HarnessError, match="--trust-remote-code") as caught:
            command(dataset=str(TINY), split="test", checkpoint=str(folder), output=tmp_path / "out")
        [named] = re.findall(r"--trust-remote-code to ([a-z, ]+) if", str(caught.value))
        for name in re.split(r", | or ", named):
            assert "--trust-remote-code" in COMMANDS[name]
        assert re.search(r"; (\w+) and (\w+) never", str(caught.value)).groups() == tuple(
            sorted((name for name in ("plan", "train") if "--trust-remote-code" not in COMMANDS[name]), reverse=True)
        )
