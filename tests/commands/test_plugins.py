"""Other packages' code is part of the question that uses it, and of no other; a finished run is not overwritten."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import plugins
from harness.aggregators import AGGREGATORS
from harness.candidates import SOURCES
from harness.candidates.exact import exact
from harness.commands import provenance
from harness.commands.eval import EvalConfig
from harness.commands.plugged import plugged
from harness.commands.stress import StressConfig
from harness.errors import DataError
from harness.options import resolve
from harness.progress import Stages
from harness.runs import RunDirectory
from harness.vectors import store
from harness.vectors.fills import FILLS
from harness.vectors.injections import INJECTIONS
from tests.conftest import TINY, documents

QUESTION = {"dataset": str(TINY), "arms": "truncate", "lengths": [8], "candidates": "exact", "measures": "R@1"}
POOL = '''
from harness.aggregators import Aggregator, aggregator
from {helper} import FACTOR


@aggregator("scaled")
class Scaled(Aggregator):
    """A multiple of the largest similarity."""

    def reduce(self, sims):
        return sims.amax(-1)

    def merge(self, own, other):
        return own.maximum(other)

    def finish(self, state):
        return state * FACTOR
'''


@pytest.fixture
def package(tmp_path) -> Path:
    """A distribution as an installer leaves it: its code, its metadata and its entry point."""
    place = tmp_path / "elsewhere"
    (place / "scaled_pools").mkdir(parents=True)
    (place / "scaled_pools" / "__init__.py").write_text("")
    (place / "scaled_pools" / "pools.py").write_text(POOL.format(helper="scaled_pools.factors"))
    (place / "scaled_pools" / "factors.py").write_text("FACTOR = 2.0\n")
    about = place / "scaled_pools-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scaled-pools\nVersion: 1.5\n")
    (about / "entry_points.txt").write_text("[harness.aggregators]\nscaled = scaled_pools.pools:Scaled\n")
    return place


@contextmanager
def started_anew(place: Path):
    """As a new process has it: a folder on its path, nothing in it imported, entry points not loaded yet."""
    sys.path.insert(0, str(place))
    importlib.invalidate_caches()
    AGGREGATORS._loaded = False
    try:
        yield
    finally:
        sys.path.remove(str(place))
        AGGREGATORS.forget("scaled")
        for name in [name for name in sys.modules if name.partition(".")[0] in ("scaled_pools", "pool", "helper")]:
            del sys.modules[name]


def asked(place: Path, output: Path, pool: str, **how):
    with started_anew(place):
        return harness.evaluate(**QUESTION, pool=pool, output=output, **how)


def test_an_edited_pool_is_another_question_and_an_unused_one_changes_nothing(package, tmp_path):
    output = tmp_path / "runs"
    without = harness.evaluate(**QUESTION, pool="maxsim", output=output)
    assert asked(package, output, "maxsim").path == without.path and without.manifest.plugins == []
    first = asked(package, output, "scaled")
    [used] = first.manifest.plugins
    about = {"kind": "aggregator", "name": "scaled", "module": "scaled_pools.pools"}
    assert used.pop("source") and used == {**about, "distribution": "scaled-pools", "version": "1.5"}
    assert asked(package, output, "scaled", resume=True).path == first.path
    (package / "scaled_pools" / "factors.py").write_text("FACTOR = -1.0\n")
    edited = asked(package, output, "scaled", resume=True)
    assert edited.path != first.path, "any file of the package may decide"
    assert edited.summary["value"].iloc[0] < first.summary["value"].iloc[0], "and this one does"
    metadata = package / "scaled_pools-1.5.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.5", "1.6"))
    assert asked(package, output, "scaled", resume=True).path not in (first.path, edited.path)
    assert asked(package, output, "maxsim").path == without.path
    assert len(list(output.iterdir())) == 4


def source_of(place: Path) -> str:
    """The digest of a pool that a script registers by being imported."""
    with started_anew(place):
        importlib.import_module("pool")
        where = AGGREGATORS.origin("scaled")
    assert where is not None and (where.module, where.distribution, where.version) == ("pool", None, None)
    return where.source


def test_a_script_counts_with_what_it_imports_from_beside_it_wherever_it_lies(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        place.mkdir()
        (place / "pool.py").write_text(POOL.format(helper="helper"))
        (place / "helper.py").write_text("FACTOR = 1.0\n")
    first = source_of(here)
    assert source_of(there) == first
    (there / "unrelated.py").write_text("FACTOR = 3.0\n")
    (there / "notes.txt").write_text("not code")
    assert source_of(there) == first
    (there / "helper.py").write_text("FACTOR = 3.0\n")
    assert source_of(there) != first
    (there / "helper.py").write_text("FACTOR = 1.0\n")
    (there / "pool.py").write_text(POOL.format(helper="helper") + "\n")
    assert source_of(there) != first


NAMES = st.text("abcxyz_", min_size=1, max_size=5)
CODE = st.dictionaries(st.tuples(NAMES, NAMES), st.text("FACTOR=123 \n", max_size=12), min_size=1, max_size=5)


@given(code=CODE, data=st.data())
def test_any_change_of_any_file_of_a_package_changes_its_digest_and_nothing_else_does(code, data, tmp_path_factory):
    def written() -> Path:
        place = tmp_path_factory.mktemp("place") / "site-packages" / "made"
        for (folder, name), text in code.items():
            (place / folder).mkdir(parents=True, exist_ok=True)
            (place / folder / f"{name}.py").write_text(text)
        return place

    first, again = written(), written()
    digest = plugins.digest_of_files(first)
    (again / "__pycache__").mkdir()
    (again / "__pycache__" / "made.cpython-311.pyc").write_bytes(b"anything")
    (again / "table.csv").write_text("1,2")
    assert plugins.digest_of_files(again) == digest
    paths = sorted(first.rglob("*.py"))
    path = data.draw(st.sampled_from(paths))
    if data.draw(st.booleans()):
        path.write_text(path.read_text() + "#")
    else:
        path.rename(path.with_name("renamed_" + path.name))
    assert plugins.digest_of_files(first) != digest


def made_in_a_notebook(source: str):
    """A class as a notebook has it: its module is __main__, and no file holds it."""
    space: dict = {"__name__": "no_such_module"}
    exec(compile(source, f"<cell {id(source)}>", "exec"), space)
    return space["Scaled"]


def test_code_without_a_file_counts_by_what_it_does():
    text = POOL.partition("@aggregator")[2].partition("\n")[2].replace("(Aggregator)", "")
    first = plugins.digest_of(made_in_a_notebook(text))
    assert plugins.digest_of(made_in_a_notebook("\n\n" + text)) == first
    assert plugins.digest_of(made_in_a_notebook(text.replace("* FACTOR", "* 2"))) != first
    assert plugins.digest_of(made_in_a_notebook(text.replace("amax(-1)", "amax(-2)"))) != first


@pytest.mark.parametrize(
    ("registry", "kind", "option"),
    [(SOURCES, EvalConfig, "candidates"), (FILLS, EvalConfig, "fill"), (INJECTIONS, StressConfig, "inject")],
)
def test_whatever_a_question_names_is_found_and_only_that(registry, kind, option):
    plugin = functools.partial(registry[registry.names()[0]])
    assert not plugins.outside(plugin), "this program's own, however it is wrapped"

    @registry.register("outsider")
    def outsider(*_):
        raise AssertionError

    try:
        named = plugged(resolve(kind, dataset=str(TINY), **{option: "outsider"}))
        assert [(one["kind"], one["name"], one["module"]) for one in named] == [(registry.noun, "outsider", __name__)]
        assert plugged(resolve(kind, dataset=str(TINY))) == []
    finally:
        registry.forget("outsider")


def test_edited_code_of_a_candidate_source_or_an_encoder_is_no_cache_hit(tmp_path, monkeypatch):
    from harness.candidates import find
    from tests.candidates.test_candidates import ASKED, MANY, named, search

    one, digests = search(named(MANY, "documents"), named(ASKED, "queries"), tmp_path), iter("ab")
    for name in ("candidates", "encoder"):
        (tmp_path / name).mkdir()
    for count in (1, 2):
        monkeypatch.setattr("harness.registry.digest_of", lambda _: next(digests))
        SOURCES.register("outsider")(lambda search: exact(search))
        try:
            find("outsider", one)
            find("outsider", one)
        finally:
            SOURCES.forget("outsider")
        assert len(list((tmp_path / "candidates").glob("*.np?"))) == count

    from tests.vectors.test_store import Fake

    kinds = []
    for digest in ("a", "a", "b"):
        monkeypatch.setattr(store, "digest_of", lambda _, digest=digest: digest)
        kind = type("Mine", (Fake,), {})  # another class each time, as after an edit
        kinds.append(store.fetch(kind(), documents(["a", "b"]), "document", Stages(False), tmp_path).fingerprint)
    assert kinds[0] == kinds[1] != kinds[2]


@pytest.fixture
def answered(tmp_path):
    return harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path)


def files(path: Path) -> dict[str, tuple[int, bytes]]:
    return {str(one): (one.stat().st_mtime_ns, one.read_bytes()) for one in path.rglob("*") if one.is_file()}


def changed(run: Path, **fields) -> None:
    """Make a finished run one that another program answered."""
    directory = RunDirectory(run)
    directory.write_manifest(dataclasses.replace(directory.read_manifest(), **fields))


def test_the_same_question_again_says_so_writes_nothing_and_is_answered_anew_by_force(answered, capsys, tmp_path):
    before = files(answered.path)
    again = harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path)
    said = capsys.readouterr().err
    date = answered.manifest.answered[:10]
    assert said.count("\n") == 1 and f"was answered on {date}" in said and "--force answers it anew" in said
    assert files(answered.path) == before and again.manifest == answered.manifest
    harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path, resume=True)
    assert capsys.readouterr().err == "" and files(answered.path) == before
    anew = harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path, force=True)
    after = files(answered.path)
    name = str(answered.path / "summary.csv")
    assert anew.path == answered.path and after[name][0] > before[name][0] and after[name][1] == before[name][1]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"source": "f" * 16}, "harness at "),
        ({"source": "", "git_revision": "0" * 40}, "harness at 00000000, now "),
        ({"versions": {"torch": "1.0", "harness": harness.__version__}}, "torch 1.0, now "),
        ({"versions": {"late-interaction-harness": "0.0.9"}}, "late-interaction-harness 0.0.9, now "),
        ({"versions": {"gone": "3.1"}}, "gone 3.1, now missing"),
    ],
)
def test_what_another_program_answered_is_never_shown_as_todays(answered, fields, says, resume, capsys, tmp_path):
    changed(answered.path, **fields)
    before = files(answered.path)
    harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path, resume=resume)
    said = capsys.readouterr().err
    assert f"by other code: {says}" in said and "--force" in said and files(answered.path) == before


def test_a_manifest_of_an_earlier_program_is_compared_in_what_it_knows(answered):
    now = answered.manifest
    earlier = dataclasses.replace(now, source="", answered="", versions={"harness": harness.__version__})
    assert provenance.differences(earlier) == provenance.differences(now) == []


def test_a_damaged_finished_run_names_a_step_that_works(answered, tmp_path):
    table = answered.path / "per_query.parquet"
    table.write_bytes(table.read_bytes()[:50])
    with pytest.raises(DataError, match="--force") as caught:
        harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path)
    assert len(caught.value.problems) == 1
    again = harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path, force=True)
    assert again.summary.equals(answered.summary) and RunDirectory(again.path).result()


def test_a_comparison_is_named_by_what_the_runs_hold_and_not_overwritten(answered, tmp_path, capsys):
    other = harness.evaluate(**QUESTION, pool="maxsim", seed=1, output=tmp_path)
    first = harness.compare(answered.path, other.path, output=tmp_path)
    before = files(first.path)
    capsys.readouterr()
    again = harness.compare(answered.path, other.path, output=tmp_path)
    assert again.path == first.path and files(first.path) == before and "--force" in capsys.readouterr().err
    assert harness.compare(answered.path, other.path, output=tmp_path, force=True).path == first.path
    assert files(first.path) != before
    table = RunDirectory(other.path).read_table("per_query.parquet")
    RunDirectory(other.path).write_table("per_query.parquet", table.assign(value=0.0))
    assert harness.compare(answered.path, other.path, output=tmp_path).path != first.path


def test_the_manifest_holds_the_source_the_time_and_the_kind_of_product(answered):
    about = json.loads((answered.path / "manifest.json").read_text())
    assert about["source"] == provenance.source() and about["answered"][:2] == "20"
    assert about["host"]["product"] in ("amx", "mkl", "blas") and about["host"]["mkl_cbwr"]


def test_another_kind_of_product_is_another_run(answered, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.scoring.devices.kind", lambda device: "another")
    assert harness.evaluate(**QUESTION, pool="maxsim", output=tmp_path).path != answered.path
