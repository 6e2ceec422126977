"""The command line as a user meets it: exit codes, one clear line a mistake, tables that explain themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from harness import cli
from tests.conftest import TINY


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command line in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        return int(end.value.code or 0), out.out, out.err

    return command


def test_eval_prints_a_table_that_explains_itself(run, tmp_path):
    code, out, _ = run("eval", "--dataset", str(TINY), "--pool", "maxsim,topk:2", "--lengths", "8,32")
    assert code == 0
    for words in (
        "A row is a pool",
        "95 % bootstrap interval",
        "recall 1.000",
        "Arm truncate",
        "Arm pad",
        "nDCG@10",
        "R@10",
        "maxsim",
        "topk:2",
        "L = 32",
        "evidence 8, fill distractor",
        "first stage",
    ):
        assert words in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
    [path] = (tmp_path / "runs").iterdir()
    assert (path / "manifest.json").exists() and path.name in out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--dataset", "scifat"], "did you mean 'scifact'?"),
        (["--pool", "maxsin"], "did you mean 'maxsim'?"),
        (["--pool", "topk:0"], "k must be at least 1"),
        (["--pool", "softmax:warm"], "tau must be a number"),
        (["--fill", "distracter"], "did you mean 'distractor'?"),
        (["--measures", "nDGC@10"], "did you mean 'nDCG@10'?"),
        (["--measures", "R@1000"], "give --depth 1000"),
        (["--candidates", "fais"], "did you mean 'faiss'?"),
        (["--checkpoint", "minilmm"], "did you mean 'minilm'?"),
        (["--lengths", "0"], "length 0 must be at least 1"),
        (["--lengths", "32,-4"], "length -4 must be at least 1"),
        (["--lengths", "32,32"], "32 is given twice"),
        (["--lengths", "32,long"], "'long' is not a whole number"),
        (["--split", "tset"], "did you mean 'test'?"),
        (["--config", "none.yaml"], "none.yaml"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, tmp_path, arguments, words):
    data = [] if "--dataset" in arguments else ["--dataset", str(TINY)]
    code, out, err = run("eval", *data, *arguments)
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert line.startswith("harness: ") and words in line
    assert not list(tmp_path.iterdir())


def test_several_mistakes_are_reported_together(run):
    code, _, err = run("eval", "--dataset", "scifat", "--pool", "maxsin,topk:0", "--lengths", "0,x", "--fill", "foam")
    assert code == 2 and len(err.splitlines()) == 6


def test_how_and_what_are_checked_together(run):
    code, _, err = run(
        "eval", "--pool", "maxsin", "--engine", "lokal", "--device", "cuda:77", "--output", "/dev/null/x"
    )
    assert code == 2 and len(err.splitlines()) == 4 and "did you mean 'local'?" in err


def test_a_run_of_one_pool_one_length_and_one_pair_prints(run):
    for line in (
        "eval --lengths 16 --limit 1",
        "gradients --lengths 16 --pairs 2 --limit 1",
        "stress --counts 0 --limit 1",
    ):
        code, out, _ = run(*line.split(), "--dataset", str(TINY))
        assert code == 0 and "maxsim" in out and "nan" not in out


def test_the_line_wins_over_the_config(run, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"dataset: {TINY}\nlengths: [8]\npool: [mean]\n")
    code, out, _ = run("eval", "--config", "mine.yaml", "--pool", "maxsim", "--arms", "truncate")
    assert code == 0 and "maxsim" in out and "mean " not in out.split("nDCG@10", 1)[1]


def test_ctrl_c_says_how_to_go_on(run, monkeypatch):
    from harness.commands import eval as eval_command

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(eval_command, "prepare", interrupted)
    code, _, err = run("eval", "--dataset", str(TINY))
    assert code == 130 and f"go on with: harness eval --dataset {TINY}" in err


def test_list_names_what_there_is(run):
    code, out, _ = run("list")
    assert code == 0
    for name in ("scifact", "stdlib", "maxsim", "topk:4", "softmax:0.1", "distractor", "zero", "minilm"):
        assert name in out


def test_list_has_one_line_for_each_dataset_at_eighty_columns(run):
    from harness import corpora

    def lines(*words: str) -> list[str]:
        _, out, _ = run("list", "datasets", *words)
        return [line for line in out.splitlines() if line.strip()][3:]

    every, short, cards = lines("all"), lines(), corpora.datasets()
    assert [line.split()[0] for line in every] == sorted(cards) and max(map(len, every)) <= 80
    [scifact] = [line for line in every if line.startswith("scifact")]
    assert scifact.split()[1:4] == ["5,183", "300", "300"]
    groups = sorted({f"{card.group}-…" for card in cards.values() if card.group})
    plain = sorted(name for name, card in cards.items() if not card.group)
    assert [line.split()[0] for line in short] == plain + groups and len(short) < 40
    assert [line.split()[0] for line in lines("NanoBEIR")] == [one for one in sorted(cards) if one.startswith("nanob")]


def test_list_of_datasets_that_are_not_there_is_one_line(run):
    for words, wanted in ((("datasets", "nothing"), "no dataset has 'nothing'"), (("pools", "x"), "no second word")):
        code, _, err = run("list", *words)
        assert code == 2 and wanted in err and err.strip().count("\n") == 0


def test_list_of_something_else_suggests(run):
    code, _, err = run("list", "dataset")
    assert code == 2 and "did you mean 'datasets'?" in err


@pytest.mark.parametrize(("words", "heavy"), [("--help", "rich numpy"), ("list", "torch pandas numba transformers")])
def test_what_only_names_things_imports_nothing_heavy(words, heavy, tmp_path):
    code = (
        "import sys; from harness.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([one for one in {heavy.split()} if one in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.strip() == "[]" and len(done.stdout.splitlines()) > 10


HELP = dict.fromkeys(["eval", "stress", "gradients"], "[minilm]")


@pytest.mark.parametrize(
    ("command", "default"), (HELP | {"compare": "[faiss]", "synth": "[maxsim,topk:4,softmax:1.0]"}).items()
)
def test_help_shows_the_defaults(command, default):
    shown = CliRunner().invoke(cli.app, [command, "--help"], env={"COLUMNS": "200"}).stdout
    assert default in shown and "\\[" not in shown
