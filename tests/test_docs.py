"""What the pages show can be followed: command lines parse, links resolve, and paths, options and columns exist."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import itertools
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pandas as pd
import pyarrow.parquet as parquet
import pytest

import harness
from harness import cli
from harness.commands import SUMMARIES, file
from harness.errors import HarnessError
from harness.options import options, resolve
from harness.reports.formats.base import formats
from tests.conftest import TINY

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [
    *GUIDES,
    ROOT / "CHANGELOG.md",
    *sorted(path for folder in ("datasets", "runs", "reports", "benchmarks") for path in (ROOT / folder).rglob("*.md")),
]
GROUPS = ("aggregators", "layouts", "scorers")  # of entry points, which are named as functions are

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = {name for line in re.findall(r"^([a-z][a-z -]*):(?!=)", MAKEFILE, re.MULTILINE) for name in line.split()}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def code(page: Path) -> list[str]:
    """Code inside prose and tables."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`]+)`", prose)


def shown(page: Path) -> Iterator[str]:
    """Command lines of a page's consoles, without prompt and comment."""
    text = "\n".join(blocks(page, "console")).replace("\\\n", " ")
    yield from (line.removeprefix("$ ").split("  #")[0].strip() for line in text.splitlines() if line[:2] == "$ ")


def mentioned(page: Path) -> Iterator[str]:
    """Command lines inside prose and tables, which may leave out what a command needs."""
    yield from (text for text in code(page) if re.match(r"(harness|make|python3? -m|PYTHONPATH=\S+ python) ", text))


def check_harness(arguments: list[str], whole: bool) -> None:
    """Parse as the command line does and read every value; nothing is run. Raises what a user would be shown."""
    name, *rest = arguments
    if name == "--help":
        return
    assert name in SUMMARIES, name
    if "--help" in rest:
        return
    kind = file(name).CONFIG
    given = cli.command(name).make_context(name, list(rest)).params
    values = {key: value for key, value in given.items() if value not in (None, ()) and key != "config"}
    if whole:
        resolve(kind, **values)
    else:
        for key, value in values.items():
            options(kind)[key].read(key, value)


def check_line(line: str, whole: bool = True) -> None:
    for part in line.split(" && "):
        program, *rest = [word for word in shlex.split(part) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        program = program.removeprefix(".venv/bin/")
        if program == "harness":
            check_harness(rest, whole)
        elif program == "make":
            assert set(rest) <= TARGETS, set(rest) - TARGETS
        elif program.startswith("python") and rest[0] == "-m":
            assert rest[1] == "venv" or importlib.util.find_spec(rest[1]), rest[1]
        elif program == "pip":
            extras = [name for word in rest for name in re.findall(r"^\.\[(.*)\]$", word)]
            assert all(name in EXTRAS for name in ",".join(extras).split(",") if name), extras
            assert all(Path(ROOT, word).exists() for word in rest if word.endswith(".txt"))
        else:
            raise AssertionError(f"{program} is no program that a page may ask for")


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty folder with the folders that pages speak of."""
    monkeypatch.chdir(tmp_path)
    Path("path/to").mkdir(parents=True)
    Path("path/to/corpus").symlink_to(TINY)
    for folder in ("path/to/checkpoint", "path/to/mine", "FOLDER"):
        Path(folder).mkdir()
    for role in ("documents", "queries"):
        Path(f"FOLDER/{role}.safetensors").touch()


@each_page
def test_every_command_line_parses(page, places):
    for line in (line.replace("owner/name@main", "path/to/corpus") for line in shown(page)):
        check_line(line)
    for line in mentioned(page):
        if "COMMAND" not in line:
            check_line(line, whole=False)


@pytest.mark.parametrize(
    "line",
    [
        "harness evil",
        "harness eval --lengts 32",
        "harness eval --pool maxsin",
        "harness eval --arms pad,truncated",
        "harness eval --dataset scifat",
        "harness eval --measures nDGC@10",
        "harness list dataset",
        "harness synth --every 7",
        "harness compare --average-seeds",
        "make evaluate",
        "python -m validation.readme",
        "curl example.org",
        ".venv/bin/pip install -e '.[cuda]'",
    ],
)
def test_a_line_that_fails_is_found(line, places):
    with pytest.raises((click.ClickException, HarnessError, AssertionError)):
        check_line(line)


def test_the_pages_show_every_command_and_the_users_own_line_first():
    commands = {line.split()[1] for page in GUIDES for line in shown(page) if line.startswith("harness ")}
    assert set(SUMMARIES) - {"list"} <= commands
    own = "harness eval --dataset scifact --pool maxsim --lengths 32,64,128,256"
    assert own in mentioned(ROOT / "README.md")
    assert next(line for line in shown(ROOT / "README.md") if line.startswith("harness")) == own


@each_page
def test_every_option_target_and_command_that_prose_names_exists(page):
    known = {option for name in SUMMARIES for one in cli.command(name).params for option in one.opts}
    known |= {"--help", "--head"}
    for text in code(page):
        if re.match(r"\S*(pip|pytest|ruff|mypy|python) ", text):
            continue
        for option in re.findall(r"(?:^| )(--[a-z][a-z-]*)", text):
            assert option in known, f"{page.name}: {text}"
    for name in re.findall(r"`make ([a-z-]+)", page.read_text()):
        assert name in TARGETS, f"{page.name}: make {name}"


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    anchors: set[str] = set()
    for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        more = (f"{anchor}-{number}" for number in itertools.count(1))
        anchors.add(anchor if anchor not in anchors else next(name for name in more if name not in anchors))
    return anchors


@each_page
def test_every_relative_link_and_anchor_resolves(page):
    prose = re.sub(r"^```.*?^```|`[^`]*`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        assert linked.is_relative_to(ROOT), f"{page.name}: {target} leaves the repository"
        assert not anchor or anchor in headings(linked), f"{page.name}: {target}"


def test_every_guide_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s#:]+)", page.read_text())
        waiting += [path for path in ((page.parent / target).resolve() for target in targets) if path.is_file()]
    assert set(PAGES) - {ROOT / "runs" / "README.md"} <= reached


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.name)
def test_python_on_a_page_is_python_and_calls_what_there_is(page):
    for block in blocks(page, "python"):
        tree = ast.parse(block)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, name.name) for name in node.names), ast.unparse(node)
            function = node.func if isinstance(node, ast.Call) else None
            if isinstance(function, ast.Attribute) and ast.unparse(function.value) == "harness":
                takes = inspect.signature(getattr(harness, function.attr)).parameters
                assert {keyword.arg for keyword in node.keywords} <= set(takes)
    for name in re.findall(r"`harness\.([a-z_]+)[`(]", page.read_text()):
        assert name in harness.__all__ or name in GROUPS, f"harness.{name}"


def named_paths(page: Path) -> set[str]:
    """Paths of the repository in a page's code, in its blocks of layout too."""
    texts = [*code(page), *(line.split("  ")[0] for block in blocks(page, "text") for line in block.splitlines())]
    return {text for text in texts if re.fullmatch(r"[\w./-]+/[\w./-]*|[\w-]+\.(md|toml|txt)", text)}


def test_the_examples_of_contributing_run(tmp_path):
    """All that need nothing which is coming; in a process of their own, as they register what they add."""
    examples = [block for block in blocks(ROOT / "CONTRIBUTING.md", "python") if "import" in block]
    assert len(examples) == 3
    check = """
from harness.encoders.base import FAMILIES
from harness.records import Document
assert recognises(Path(".")) is False
Path("letters.json").write_text("{}")
letters = FAMILIES["letters"](Path("."), "float32", "cpu")
[[(index, vectors)]] = letters.encode([Document("d", "aab b")], "document")
assert index == 0 and vectors.shape == (2, 26) and vectors.sum() == 4
assert run(CountConfig(text="two words"), None) == 2
"""
    script = "\n".join([*examples, check])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_path_that_contributing_names_exists():
    paths = named_paths(ROOT / "CONTRIBUTING.md")
    assert len(paths) > 40
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing, missing


def test_every_room_of_the_program_is_in_contributing():
    paths = named_paths(ROOT / "CONTRIBUTING.md")
    rooms = {path.parent.relative_to(ROOT).as_posix() + "/" for path in (ROOT / "harness").rglob("__init__.py")}
    assert rooms - {"harness/"} <= paths


def columns(path: Path) -> list[str]:
    """Of a table of a run."""
    return parquet.read_schema(path).names if path.suffix == ".parquet" else list(pd.read_csv(path, nrows=0))


def test_every_file_and_column_of_a_run_is_explained(finished):
    explained = set(code(ROOT / "docs" / "reading-results.md"))
    for name, result in finished.items():
        for path in result.path.iterdir():
            if path.suffix in (".csv", ".parquet"):
                assert path.name in explained, f"{name}: {path.name}"
                missing = set(columns(path)) - explained
                assert not missing, f"{name}, {path.name}: {sorted(missing)}"
        assert set(vars(result.manifest)) <= explained


def test_every_format_arm_fill_source_and_family_is_explained():
    from harness.aggregators import AGGREGATORS
    from harness.candidates import SOURCES
    from harness.encoders import FAMILIES
    from harness.vectors.arms import ARMS
    from harness.vectors.fills import FILLS
    from harness.vectors.injections import INJECTIONS

    for page, names in {
        "lengths": [*ARMS, *FILLS, *SOURCES],
        "stress": INJECTIONS,
        "checkpoints": FAMILIES,
        "aggregators": AGGREGATORS,
        "compare-and-report": formats(),
    }.items():
        explained = {text.split(":")[0] for text in code(ROOT / "docs" / f"{page}.md")}
        assert set(names) <= explained, f"{page}: {set(names) - explained}"
