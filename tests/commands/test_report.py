"""Every run that the commands can make is reported in every format; what is damaged is a line, and a bug is none."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import harness
from fuzzing.targets import sound
from harness.cli import app
from harness.errors import DataError, OptionError
from harness.reports import claims, findings
from harness.runs import RunDirectory, readable
from harness.statistics import inference, tables

MANY = {"eval": 14, "stress": 14, "gradients": 8, "compare": 6, "synth": 1}
ASKED = [(command, seed) for command, seeds in MANY.items() for seed in range(seeds)]


@pytest.mark.parametrize(("command", "seed"), ASKED)
@pytest.mark.filterwarnings("ignore")
def test_a_run_on_a_random_tiny_dataset_is_reported_in_every_format(command, seed, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "RESAMPLES", 99)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    path = sound.run(command, np.random.default_rng(seed), tmp_path)
    sound.reported(path, tmp_path, [*sound.QUICK, *(sound.DRAWN if seed == 0 else [])])


def test_a_slope_may_be_tested_where_the_longest_length_is_not():
    """All but the longest length differ, where every pool finds everything."""
    queries, pools, rows = range(20), ["maxsim", "mean"], []
    for pool, length, query in ((pool, length, query) for pool in pools for length in (8, 16) for query in queries):
        value = 1.0 if length == 16 else 0.5 + 0.01 * query * (pool == "mean")
        rows.append(("d", "c", "truncate", pool, length, "R@1", f"q{query:02}", value))
    table = pd.DataFrame(rows, columns=["dataset", "checkpoint", *tables.CELL, "query_id", "value"])
    table = table.astype({"length": "Int64"})
    tests = tables.compare(table, pools)
    said = findings.degradation(tables.summarise(table, np.random.default_rng(0)), tests, {}, [8, 16])
    slope, longest = (one for one in said if isinstance(one, claims.Verdict))
    assert "significantly lower than maxsim: mean" in slope.text
    assert longest.text == "At L = 16, equal to maxsim for all queries: mean."


def broken(*_: object, **__: object):
    raise KeyError("a fault of ours")


@pytest.mark.parametrize("formats", [[], ["--format", "md"]])
def test_a_fault_of_the_program_is_no_damage(finished, formats, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("harness.reports.findings.degradation", broken)
    shown = CliRunner().invoke(app, ["report", str(finished["eval"].path), *formats])
    assert isinstance(shown.exception, KeyError) and shown.exit_code == 1 and "damaged" not in shown.output


def test_a_fault_of_a_comparison_or_of_a_format_is_no_damage_either(finished, monkeypatch, tmp_path):
    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr("harness.statistics.comparison.compare", broken)
        runs = json.loads((finished["compare"].path / "manifest.json").read_text())["config"]["runs"].values()
        harness.compare(*runs, output=tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr("harness.reports.formats.markdown.chapter", broken)
        harness.report(finished["eval"].path, format="md", output=tmp_path)


@pytest.mark.parametrize("name", ["eval", "stress", "gradients", "synth", "compare"])
def test_what_a_table_lacks_is_named_in_one_line(finished, name, tmp_path):
    """One row, one column or one kind of values less: each file of a run is checked as it is read."""
    kept = tmp_path / name
    random = np.random.default_rng(0)
    files = {"compare": ["summary.csv", "tests.csv", "queries.parquet"]}.get(name, ["summary.csv", "tests.csv"])
    files += ["per_query.parquet"] if name in ("eval", "stress") else []
    for file in files:
        shutil.copytree(finished[name].path, kept)
        run = RunDirectory(kept)
        table = run.read_table(file)
        column = str(random.choice([one for one in ("pool", "value", "run", "p_holm", "measure") if one in table]))
        run.write_table(file, table.drop(columns=column))
        with pytest.raises((DataError, OptionError), match=f"{file} cannot be read.*no column '{column}'") as error:
            read(kept)
        assert len(error.value.problems) == 1
        if file != "tests.csv" and name in ("eval", "stress", "gradients"):
            run.write_table(file, table.drop(index=table.index[3]))
            if name != "gradients" or file == "summary.csv":
                with pytest.raises((DataError, OptionError), match="cells are missing"):
                    read(kept)
        shutil.rmtree(kept)


def read(path: Path) -> None:
    from rich.console import Console

    from harness.commands.report import ReportConfig, show

    show(harness.report(path), ReportConfig(), Console(file=io.StringIO()))
    harness.report(path, format="html,md", output=path / "report")


def test_tests_of_another_sign_are_not_taken_for_this_versions(finished, tmp_path):
    """Where a positive difference was a larger loss, a report would praise the pool that lost."""
    shutil.copytree(finished["stress"].path, tmp_path / "old")
    run = RunDirectory(tmp_path / "old")
    tests = run.read_table("tests.csv")
    run.write_table("tests.csv", tests.assign(mean_difference=-tests["mean_difference"]))
    with pytest.raises(OptionError, match=r"tests\.csv cannot be read .*another version: repeat the run"):
        harness.report(run.path)


@pytest.mark.parametrize("name", ["eval", "synth", "compare"])
def test_a_run_of_before_there_was_a_statistic_is_read_as_one_of_today(finished, name, tmp_path):
    """The word slope stood among the lengths."""
    shutil.copytree(finished[name].path, tmp_path / "old")
    old, today = RunDirectory(tmp_path / "old"), RunDirectory(finished[name].path)
    manifest = today.read_manifest()
    for file in ("summary.csv", "tests.csv"):
        table = today.read_table(file, manifest)
        if "statistic" in table:
            words = table["length"].astype(object).mask(table["statistic"] == "slope", "slope")
            old.write_table(file, table.drop(columns="statistic").assign(length=words))
        pd.testing.assert_frame_equal(old.read_table(file, manifest), table)
    shown = (harness.report(run.path).sections[0].tables for run in (old, today))
    assert len(set(map(str, shown))) == 1


@pytest.mark.parametrize("name", ["eval", "stress", "gradients", "synth", "compare"])
def test_no_column_of_a_run_mixes_words_and_numbers(finished, name):
    for path in finished[name].path.glob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        for column in table:
            numbers = pd.to_numeric(table[column][table[column] != ""], errors="coerce")
            assert numbers.isna().all() or numbers.notna().all(), f"{column} of {path.name}"


@pytest.mark.parametrize(("statistic", "length"), [("slope", 8), ("speed", 8), ("value", 9)])
def test_a_statistic_that_is_none_or_has_a_length_of_its_own_is_refused(finished, statistic, length, tmp_path):
    shutil.copytree(finished["eval"].path, tmp_path / "other")
    run = RunDirectory(tmp_path / "other")
    tests = run.read_table("tests.csv")
    tests.loc[0, ["statistic", "length"]] = statistic, length
    run.write_table("tests.csv", tests)
    with pytest.raises(OptionError, match=r"tests\.csv cannot be read .*lengths of another question"):
        harness.report(run.path)


def test_only_reading_is_damage(tmp_path):
    with pytest.raises(DataError, match="is damaged, was changed, or is of another version"), readable(tmp_path):
        raise ValueError("no column 'p'")
    with pytest.raises(OptionError), readable(tmp_path):
        raise OptionError("asked wrongly")
