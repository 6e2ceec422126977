"""Rendered pages hold what the committed tables hold: every figure is looked up, every sentence about one is true."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from validation.readmes import cells, collect, pages, shown, wrapping

ROOT = pages.ROOT
TEMPLATES = sorted(pages.TEMPLATES.rglob("*.j2"))
PLAIN = [path for path in sorted((ROOT / "docs").glob("*.md")) if f"docs/{path.name}" not in pages.PAGES]
STUDY = "reports/retrained"
RUNS = [
    *(f"reports/scifact/{command}-*" for command in ("eval", "stress", "gradients", "synth")),
    *(f"{STUDY}/{study}" for study in ("lengths", "attack")),
]
SOURCES = [
    *(f"{run}-{table}.csv" for run in RUNS for table in ("summary", "tests")),
    "reports/grid/synth-*-summary.csv",
    "reports/validation/published-figures.csv",
    "reports/validation/statistics-power.csv",
    "reports/validation/fuzzing-targets.csv",
]


@pytest.fixture(scope="module")
def committed() -> dict[str, str]:
    """Every page, from the files as they are."""
    return pages.render(ROOT)


@pytest.fixture
def copy(tmp_path) -> Path:
    """The committed files, to be changed."""
    for folder in ("reports/scifact", "reports/grid", STUDY, "reports/validation"):
        (tmp_path / folder).mkdir(parents=True)
        for path in (*(ROOT / folder).glob("*.csv"), *(ROOT / folder).glob("*.svg")):
            shutil.copy(path, tmp_path / folder)
    shutil.copy(ROOT / "reports" / "plan.txt", tmp_path / "reports")
    (tmp_path / "benchmarks").mkdir()
    for name in ("results.json", "scifact_counts.json"):
        shutil.copy(ROOT / "benchmarks" / name, tmp_path / "benchmarks")
    return tmp_path


def found(root: Path, pattern: str) -> Path:
    [path] = root.glob(pattern)
    return path


def rewrite(path: Path, change) -> None:
    """Every row of a CSV file, changed: row in, row out, or None to leave it out."""
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(made for row in rows if (made := change(dict(row))) is not None)


def test_every_page_is_what_its_template_gives(committed):
    for name, text in committed.items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run make readme"


def nudged(row: dict[str, str]) -> dict[str, str]:
    """Every number that is no key of its row, a tenth larger."""
    keys = {"length", "count", "epoch", "queries", "train_length", "support", "n", "n_queries", "n_seeds"}
    number = re.compile(r"-?\d[\d.e+-]*")
    changed = (name for name, text in row.items() if name not in keys and number.fullmatch(text))
    return row | {name: repr(float(row[name]) * 1.1 + 0.001) for name in changed}


@pytest.mark.parametrize("pattern", SOURCES)
def test_a_changed_table_changes_a_page(copy, committed, pattern):
    rewrite(found(copy, pattern), nudged)
    assert pages.render(copy, strict=False) != committed


def test_one_changed_cell_changes_only_its_figure(copy, committed):
    def change(row):
        here = (row["arm"], row["pool"], row["length"], row["measure"]) == ("pad", "topk:4", "256", "nDCG@10")
        return row | {"retained": "0.5123"} if here else row

    rewrite(found(copy, "reports/scifact/eval-*-summary.csv"), change)
    after = pages.render(copy)
    assert "top-4 51 %" in after["README.md"] and "0.5956 51%" in after["README.md"]
    changed = {
        name: sum(one != other for one, other in zip(committed[name].split("\n"), text.split("\n"), strict=True))
        for name, text in after.items()
        if text != committed[name]
    }
    assert changed == {"README.md": 2, "docs/results.md": 1}, "the prose and the terminal's table, nothing else"


def test_benchmarks_follow_their_results(copy):
    path = copy / "benchmarks" / "results.json"
    results = json.loads(path.read_text())
    results["startup"]["figures"] = dict.fromkeys(results["startup"]["figures"], 98.7654)
    path.write_text(json.dumps(results))
    assert "98.77" in pages.render(copy)["benchmarks/README.md"]


def test_a_sentence_that_is_no_longer_true_stops_the_pages(copy):
    def change(row):
        return row | {"p_holm": "0.001"} if (row["statistic"], row["pool"]) == ("slope", "topk:4") else row

    rewrite(found(copy, "reports/scifact/eval-*-tests.csv"), change)
    with pytest.raises(pages.StaleError, match=r"README.md says .no pool's slope differs from MaxSim's"):
        pages.write(copy)
    assert not (copy / "README.md").exists()


def test_a_picture_is_the_only_one_of_its_name(copy):
    assert pages.picture(copy, "docs/results.md", "scifact/synth-*-figure1.svg").startswith("../reports/scifact/synth-")
    shutil.copy(found(copy, "reports/scifact/synth-*-figure1.svg"), copy / "reports/scifact/synth-older-figure1.svg")
    with pytest.raises(cells.CellError, match="must be one file"):
        pages.render(copy)


def test_a_missing_cell_is_named(copy):
    path = found(copy, "reports/scifact/gradients-*-summary.csv")
    rewrite(path, lambda row: row if row["pool"] != "topk:5" else None)
    with pytest.raises(cells.CellError, match=r"gradients-scifact\S+ has 0 rows with .*topk:5"):
        pages.render(copy)


def test_two_reports_of_one_command_are_refused(copy):
    path = found(copy, "reports/scifact/stress-*-tests.csv")
    shutil.copy(path, path.with_name("stress-older-tests.csv"))
    with pytest.raises(cells.CellError, match="must be one file"):
        pages.render(copy)


def test_the_part_with_mask_stands_only_where_its_files_are(copy):
    for path in (copy / STUDY).glob("expanded-*.csv"):
        path.unlink()
    assert "What `[MASK]` expansion does" not in pages.render(copy)[f"{STUDY}/README.md"]
    for study in ("lengths", "attack"):
        for table in ("summary", "tests"):
            path = copy / STUDY / f"expanded-{study}-{table}.csv"
            shutil.copy(copy / STUDY / f"{study}-{table}.csv", path)
            rewrite(path, lambda row: row if row["run"] in ("maxsim", "truncated") else None)
    rewrite(copy / STUDY / "expanded-lengths-summary.csv", lambda row: row | {"value": "0.4321"})
    made = pages.render(copy)
    assert "| trained under MaxSim | 0.432 [" in made[f"{STUDY}/README.md"]
    assert "nDCG@10 lower with it" in " ".join(made["docs/training.md"].split())


CONSTANTS = {
    "0.05": "the level of every test",
    "95 %": "of every interval",
    "0.6": "the cosine of hard patches, an option's default",
    "0.001": "the rate of training, an option's default",
    "0.01": "the difference whose power is simulated",
    **dict.fromkeys(["27.8 %", "29.3 %", "67.6 %", "30 %", "0.70", "97 %", "0.15"], "the study's, under attack"),
    **dict.fromkeys(["0.983", "0.951", "0.883"], "the study's, of gradients"),
    **dict.fromkeys(["0.78", "0.45", "0.18", "0.33", "0.38"], "the study's, of synthetic data"),
    **dict.fromkeys(["1.6.0", "0.2.22", "0.3.13", "0.1.0", "6.2.0", "2.5", "2.9", "3.11"], "versions"),
    "4.1": "a section of the study",
    "2604.05253": "its number",
    "1.0": "the temperature, an option's default",
    "0.1": "the τ of two pools of the grid",
}


@pytest.mark.parametrize("source", [*TEMPLATES, *PLAIN], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_measured_number_is_typed(source):
    """Prose and tables hold a decimal, a share or a time only as an expression, or as a constant of the list above."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", source.read_text(), flags=re.DOTALL)
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|softmax[:(][\d.]+", "", text)
    typed = re.findall(r"[\d.]*\d ?%|\d+(?:\.\d+)+|\d[\d.]* (?:s|h|minutes?|seconds?)\b", text)
    assert not [number for number in typed if number not in CONSTANTS]


def test_figures_are_rounded_towards_what_is_claimed():
    assert shown.at_least([0.1124, 0.5]) == "p ≥ 0.11" and shown.at_least([1.0]) == "p = 1"
    assert shown.at_most([3.21e-4, 1e-9]) == "p ≤ 3.3e-4" and shown.at_most([0.0021]) in ("p ≤ 0.0021", "p ≤ 0.0022")
    assert shown.power_above(4.3e-82) == "1e-81"
    assert shown.p_value(0.0065) == "p = 0.0065" and shown.p_value(9e-7) == "p < 0.001"
    assert shown.kept(13.8) == "× 14" and shown.kept(0.28) == "28 %"
    assert shown.signed(-0.2184) == "−0.218" and shown.fixed(-0.0001) == "0.000"
    assert shown.percents([0.918, 0.94]) == "92–94 %" and shown.percents([0.5, 0.501]) == "50 %"


def test_wrapping_moves_only_white_space():
    prose = "A sentence with `code that stays together` and 0.5 of something - also 1. this; " * 5
    page = f"# Title\n\n{prose}\n\n- an item\n  that goes on\n- {prose}\n\n"
    page += "| a | table  row |\n\n```text\n  as   it is\n```\n"
    made = wrapping.wrapped(page)
    assert re.sub(r"\s+", "", made) == re.sub(r"\s+", "", page)
    assert "| a | table  row |" in made and "  as   it is" in made and "- an item that goes on\n" in made
    assert made.count("`code that stays together`") == 10
    starts = [line.strip() for line in made.split("\n")]
    assert sum(line.startswith("- ") for line in starts) == 2 and not any(line.startswith("1. ") for line in starts)
    assert wrapping.wrapped(made) == made


def test_the_study_is_collected_from_its_runs(tmp_path, finished):
    compared, routed = finished["compare"].path, finished["gradients"].path
    made = collect.collect(tmp_path, "expanded-", [compared, routed])
    assert [path.name for path in made] == [
        f"expanded-{name}.csv" for name in ("lengths-summary", "lengths-tests", "gini")
    ]
    assert made[0].read_bytes() == (compared / "summary.csv").read_bytes()
    assert made[1].read_bytes() == (compared / "tests.csv").read_bytes()
    table, gini = pd.read_csv(made[2]), pd.read_csv(routed / "summary.csv")
    assert len(table) == len(gini) and set(table["gini"]) == set(gini["gini"])
    with pytest.raises(ValueError, match="both compare runs of eval"):
        collect.collect(tmp_path, "", [compared, compared])
