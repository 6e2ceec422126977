"""Reports of finished runs: every format holds the numbers of ``summary.csv``, and mistakes are one line each."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import ir_measures
import pandas as pd
import pytest
from click.testing import CliRunner

import harness
from harness.cli import app
from harness.errors import OptionError
from harness.reports.content import Cell, Column, Row, Table
from harness.reports.formats import latex, markdown
from harness.reports.formats.exports import score_name
from tests.conftest import HOSTILE, needed

COMMANDS = ["eval", "stress", "gradients", "synth", "compare"]


@pytest.fixture(scope="module")
def written(finished, tmp_path_factory):
    """The folder of one report over a run of every command, in every light format."""
    folder = tmp_path_factory.mktemp("reports")
    paths = [finished[name].path for name in COMMANDS]
    return folder, harness.report(*paths, format="md,latex,csv,mteb,ranx", output=folder)


def cells(made, kind: str):
    """(section, table, row, column, cell) of every cell of the runs of a command."""
    for section in made.sections:
        if section.run.kind == kind:
            for table in section.tables:
                for row in table.rows:
                    for column, cell in zip(table.columns, row.cells, strict=True):
                        yield section, table, row, column, cell


def test_tables_hold_the_values_of_the_summary(written, finished):
    summary = finished["eval"].summary.set_index(["arm", "pool", "length", "measure"])
    seen = 0
    for _, table, row, column, cell in cells(written[1], "eval"):
        if column.x is not None and not row.quiet:
            found = summary.loc[(table.where["arm"], row.name, int(column.x), table.where["measure"])]
            assert (cell.value, cell.low, cell.high) == (found["value"], found["ci_low"], found["ci_high"])
            assert cell.text == f"{found['value']:.4f}" and cell.n == found["n_queries"]
            seen += 1
    assert seen == 2 * 3 * 3 * 3
    stressed = finished["stress"].summary.set_index(["inject", "pool", "count", "measure"])
    for _, table, row, column, cell in cells(written[1], "stress"):
        if table.where["measure"] == "hijack rate":
            found = stressed.loc[(table.where["inject"], row.name, int(column.x), "R@1"), "hijack_rate"]
            assert cell.value == found and cell.text == f"{found:.1%}"
        else:
            found = stressed.loc[(table.where["inject"], row.name, int(column.x), table.where["measure"])]
            assert (cell.value, cell.beside) == (found["value"], found["retained"])
    gini = finished["gradients"].summary.set_index(["pool", "length"])
    for _, table, row, column, cell in cells(written[1], "gradients"):
        if table.where["measure"] == "Gini":
            assert cell.value == gini.loc[(row.name, int(column.x)), "gini"]


def test_daggers_are_the_tests_below_the_level(written, finished):
    tests = finished["stress"].tests
    expected = {(row.measure, row.inject, row.pool, row.count) for row in tests[tests["p_holm"] < 0.05].itertuples()}
    assert expected, "an attack that no test sees cannot tell whether daggers are right"
    found = {
        (table.where["measure"], table.where["inject"], row.name, int(column.x))
        for _, table, row, column, cell in cells(written[1], "stress")
        if cell.mark
    }
    assert found == expected


def test_the_best_of_a_column_are_all_that_print_alike():
    rows = [Row(name, (Cell(value, f"{value:.4f}"),)) for name, value in (("a", 0.50001), ("b", 0.50002), ("c", 0.4))]
    quiet = Row("first", (Cell(0.9, "0.9000"),), quiet=True)
    table = Table("t", "t", "t", (Column("x", 1),), (*rows, quiet))
    assert [row.cells[0].best for row in table.marked().rows] == [True, True, False, False]
    low = Table("t", "t", "t", (Column("x", 1),), tuple(rows), better="low").marked()
    assert [row.cells[0].best for row in low.rows] == [False, False, True]


def test_markdown_has_every_table_whole(written):
    text = (written[0] / "tables.md").read_text()
    for section in written[1].sections:
        for table in section.tables:
            assert markdown.table(table) in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, "a row has another number of cells"
    assert "†" in text and "**" in text and re.search(r"\*\*0\.\d{4}\*\*", text)


def test_markdown_shows_text_as_it_is():
    assert markdown.escape('<img onerror="x">|*a*_b_`c`[d](e)') == r'&lt;img onerror="x"&gt;\|\*a\*\_b\_\`c\`\[d\](e)'
    assert markdown.escape("a\n\n# b") == r"a \# b" and markdown.fence("a ``` b").startswith("````console")


def test_latex_compiles(written):
    compiler = needed("pdflatex", "texlive-latex-recommended")
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=written[0],
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (written[0] / "tables.pdf").stat().st_size > 10_000 and "Missing character" not in done.stdout
    text = (written[0] / "tables.tex").read_text()
    assert text.count(r"\toprule") == sum(len(section.tables) for section in written[1].sections)
    assert r"\textbf{" in text and r"$^{\dagger}$" in text


def test_latex_prints_special_letters(tmp_path):
    compiler = needed("pdflatex", "texlive-latex-recommended")
    nasty = "".join(latex.SPECIAL) + "日é\\input{/etc/passwd} ^^41 <b> a_b 100% $x$"
    body = f"{latex.HEAD}{latex.escape(nasty)}\\end{{document}}"
    (tmp_path / "a.tex").write_text(body)
    line = [compiler, "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0 and "passwd" not in done.stdout, done.stdout[-2000:]


def test_csv_is_the_runs_own(written, finished):
    for name in COMMANDS:
        run = finished[name].path
        for file in ("summary.csv", "tests.csv"):
            assert (written[0] / f"{run.name}-{file}").read_bytes() == (run / file).read_bytes()


def test_mteb_results_have_its_schema_and_the_summarys_values(written, finished):
    folder = written[0] / "mteb" / finished["eval"].path.name
    result = json.loads((folder / "pad" / "topk:4" / "L32.json").read_text())
    assert set(result) >= {"task_name", "mteb_version", "dataset_revision", "scores", "evaluation_time"}
    [scores] = result["scores"]["test"]
    rows = finished["eval"].summary.query("arm == 'pad' and pool == 'topk:4' and length == 32").set_index("measure")
    assert scores["ndcg_at_10"] == scores["main_score"] == rows.loc["nDCG@10", "value"]
    assert scores["recall_at_1"] == rows.loc["R@1", "value"]
    assert scores["hf_subset"] == "default" and scores["languages"] == ["eng-Latn"]
    assert (score_name("RR@10"), score_name("AP"), score_name("nDCG")) == ("mrr_at_10", "map", "ndcg")
    assert len(list(folder.rglob("*.json"))) == 2 * 3 * 3 + 1  # and the candidates' own ranking
    assert (written[0] / "mteb" / finished["stress"].path.name / "hard" / "maxsim" / "K40.json").exists()


def test_ranx_runs_and_judgments_give_the_summarys_values(written, finished):
    folder = written[0] / "ranx" / finished["stress"].path.name
    judgments = json.loads((folder / "qrels.json").read_text())
    judged = [
        ir_measures.Qrel(query, document, relevance)
        for query, documents in judgments.items()
        for document, relevance in documents.items()
    ]
    run = json.loads((folder / "hard" / "maxsim" / "K40.json").read_text())
    value = ir_measures.calc_aggregate([ir_measures.R @ 1], judged, run)[ir_measures.R @ 1]
    row = finished["stress"].summary.query("inject == 'hard' and pool == 'maxsim' and count == 40 and measure == 'R@1'")
    assert value == pytest.approx(row["value"].item())


def test_every_figure_is_drawn(finished, tmp_path):
    made = harness.report(*(finished[name].path for name in COMMANDS[:4]), format="svg", output=tmp_path)
    names = {path.name for path in made.files}
    for part in ("ndcg-10-by-length", "r-1-retained", "hijack-rate", "alignment", "gini", "figure1", "tradeoff"):
        [name] = [name for name in names if part in name]
        assert "<svg" in (tmp_path / name).read_text()[:500]
    harness.report(finished["gradients"].path, format="png", output=tmp_path)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))


def test_texts_and_alignment_are_written_with_the_runs(finished):
    for name in ("eval", "stress"):
        table = pd.read_parquet(finished[name].path / "texts.parquet")
        queries, documents = (table[table["kind"] == kind] for kind in ("query", "document"))
        assert len(queries) == 24 and set(documents["query_id"]) == set(queries["id"])
        assert queries["text"].str.contains(HOSTILE[1], regex=False).all() and (documents["relevance"] > 0).all()
    aligned = pd.read_parquet(finished["stress"].path / "alignment.parquet")
    mine = "measure != 'hijack_rate' and pool == 'maxsim' and inject == 'hard'"
    mean = finished["stress"].per_query.query(mine).pivot_table(index="query_id", columns="count", values="value")
    assert (mean[0] - mean[40])[aligned["query_id"].iloc[0]] == (mean[0] - mean[40]).max()
    assert set(aligned["inject"]) == {"hard", "gaussian"} and (aligned["count"] == 40).all()


def test_the_command_that_repeats_a_run_names_what_is_not_usual(written, finished):
    commands = {section.run.kind: section.run.command for section in written[1].sections}
    assert commands["stress"].endswith(
        f"--dataset {finished['stress'].manifest.config['dataset']} --pool maxsim,topk:4,softmax:1.0 --depth 20"
        " --inject hard,gaussian --counts 0,5,40"
    )
    assert "--seeds 2" in commands["synth"] and "--rate" not in commands["synth"]
    assert commands["compare"].startswith("harness compare ") and "--baseline" in commands["compare"]


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_format_the_tables_are_printed_and_nothing_is_written(finished, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["report", str(finished[name].path)], env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    words = {
        "eval": "Arm pad",
        "stress": "hijack rate",
        "gradients": "top share",
        "synth": "from epoch 5",
        "compare": "queries win",
    }
    assert words[name] in " ".join(shown.stdout.split()) and "In short" in shown.stdout
    assert not list(tmp_path.iterdir())


def test_all_mistakes_are_reported_at_once(finished, tmp_path):
    unfinished = tmp_path / "unfinished"
    shutil.copytree(finished["eval"].path, unfinished)
    (unfinished / "manifest.json").unlink()
    with pytest.raises(OptionError) as error:
        harness.report(tmp_path / "none", unfinished, format="htlm,md", output="/dev/null/x")
    text = "\n".join(error.value.problems)
    assert len(error.value.problems) == 4
    for words in ("did you mean 'html'?", "is no run", "an unfinished run", "cannot be written"):
        assert words in text


@pytest.mark.parametrize(
    ("runs", "given", "says"),
    [(0, {}, "give the folder"), (1, {"output": "x"}, "give --format"), (2, {}, "given twice")],
)
def test_what_cannot_be_meant_is_refused(finished, runs, given, says):
    with pytest.raises(OptionError, match=says):
        harness.report(*[finished["eval"].path] * runs, **given)


def test_a_report_goes_where_its_first_run_is_named_after(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["report", str(finished["eval"].path), "--format", "md"])
    assert shown.exit_code == 0 and (tmp_path / "reports" / finished["eval"].path.name / "tables.md").exists()


def test_a_report_needs_no_model(finished):
    code = "import sys; from harness import cli; cli.main()"
    line = ["-X", "importtime", "-c", code, "report", str(finished["eval"].path)]
    done = subprocess.run([sys.executable, *line], capture_output=True, text=True)
    imported = {part.split("|")[-1].strip() for part in done.stderr.splitlines()}
    assert done.returncode == 0 and not imported & {"torch", "transformers", "altair", "numba"}


def test_texts_are_left_out_where_they_may_not_be_published(finished, tmp_path):
    import base64
    import gzip

    from harness.reports.formats import page

    runs = [finished[name].path for name in ("eval", "stress")]
    query = finished["eval"].per_query["query_id"].iloc[0]
    for texts in (True, False):
        made = harness.report(*runs, format="html,md,latex,csv,svg", output=tmp_path / str(texts), no_texts=not texts)
        packed = [gzip.decompress(base64.b64decode(one)).decode() for one in page.data(made)[1].values()]
        files = [path.read_text() for path in made.files if path.suffix != ".html"]
        assert any("hacked" in one for one in packed) == any("alignment" in path.name for path in made.files) == texts
        assert any(query in one for one in packed) and (texts or not any("hacked" in one for one in files))
        assert ("--no-texts" in made.reproduce) != texts
