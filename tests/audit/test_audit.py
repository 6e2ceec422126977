"""``harness audit``: a correct scorer passes, every law can be broken, and what is found is small enough to read."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

from harness import cli
from harness.audit import LAWS, SCORERS, audit
from harness.audit.cases import Case, narrow, smaller, text
from harness.errors import OptionError
from harness.reports.formats import terminal
from harness.reports.sections.audit import build
from tests.audit.scorers import BROKEN, batched, by_place, cut_off, floored, padded, picky, right, summed_in_half

PADDING = "query [[1.0]], documents [[-1.0]] and [[1.0], [1.0]]: expected -1.0 for document 1, got 0.0"


def results(done) -> dict[str, str]:
    return {one.law.name: one.result for one in done.results}


def found(scorer, name: str, **how):
    [one] = [one for one in audit(scorer, **how).results if one.law.name == name]
    return one.counterexample


def test_a_correct_scorer_passes_every_law():
    done = audit(right)
    assert set(results(done).values()) == {"pass"} and done.holds
    assert done.summary == "11 of 11 laws hold for right as maxsim."


def test_every_law_has_a_scorer_that_breaks_it():
    assert set(BROKEN) == set(LAWS)
    assert all(law.claim.endswith(".") for law in LAWS.values())


@pytest.mark.parametrize("name", BROKEN)
def test_a_scorer_that_breaks_a_law_fails_its_check(name):
    done = audit(BROKEN[name])
    assert name in [one.law.name for one in done.failed] and not done.holds
    assert all(one.counterexample.mismatch for one in done.failed)


@pytest.mark.parametrize(
    ("scorer", "failed"),
    [
        (padded, {"value", "padding"}),
        (floored, {"value", "negative similarities", "one patch", "half precision"}),
        (cut_off, {"long documents"}),
        (batched, {"companions", "padding"}),
        (by_place, {"ties"}),
        (summed_in_half, {"half precision"}),
    ],
)
def test_what_fails_points_at_the_mistake(scorer, failed):
    assert {one.law.name for one in audit(scorer).failed} == failed


def test_unmasked_padding_is_found_as_a_zero_in_the_place_of_a_negative_score():
    made = found(padded, "padding")
    assert str(made) == f"{PADDING} beside the others"
    assert made.mismatch.got == 0.0 and made.mismatch.expected < 0


@pytest.mark.parametrize(
    ("scorer", "name", "words"),
    [
        (floored, "negative similarities", "query [[1.0]], document [[-1.0]]: expected -1.0, got 0.0"),
        (cut_off, "long documents", "a query of 1 token, a document of 513 patches, 1 dimension: "),
        (batched, "companions", "a query of 1 token, 129 documents of 1 patch, 1 dimension: "),
        (by_place, "ties", "query [[1.0]], document [[1.0]]: expected 1.0, got 1.00002 when given again at the end"),
    ],
)
def test_counterexamples_are_as_small_as_they_get(scorer, name, words):
    assert str(found(scorer, name)).startswith(words)


def test_the_same_audit_finds_the_same():
    assert audit(padded).record() == audit(padded).record()


def test_a_scorer_that_raises_fails_with_the_first_line():
    def broken(query, documents):
        raise ValueError("no such device\nand a long story")

    done = audit(broken)
    words = "query [[1.0]], document [[1.0]]: raised ValueError: no such device"
    assert done.results[0].words == words
    assert results(done) == dict.fromkeys(LAWS, "fail") | {"half precision": "n/a"}


def test_a_wrong_score_is_not_made_smaller_into_an_error():
    def wide(query, documents):
        if query.shape[1] < 4:
            raise ValueError("four dimensions at least")
        return cut_off(query, documents)

    made = found(wide, "long documents")
    assert made.mismatch and made.case.query.shape[1] >= 4 and made.case.patches == [513]
    assert found(wide, "padding").error == "raised ValueError: four dimensions at least"


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda n: [0.0] * (n + 1), "returned 2 scores for 1 documents"),
        (lambda n: 0.0, "raised TypeError: 'float' object is not iterable"),
        (lambda n: [float("nan")] * n, "expected 1.0, got nan"),
    ],
)
def test_what_is_no_list_of_scores_fails(returned, words):
    assert words in audit(lambda query, documents: returned(len(documents))).results[0].words


def test_float16_that_is_refused_is_not_applicable():
    done = audit(picky)
    [half] = [one for one in done.results if one.law.name == "half precision"]
    assert half.result == "n/a" and half.note == "float16 is refused: raised TypeError: float32 only"
    assert done.holds and done.summary.startswith("10 of 10 laws")


def test_scores_may_be_tensors_and_arrays_may_be_written_to():
    def greedy(query, documents):
        made = torch.tensor([float(score) for score in right(query, documents)], requires_grad=True)
        query[:], documents[:] = 0, []
        return made

    assert audit(greedy).holds


def test_a_pool_is_held_to_its_own_values():
    def mean(query, documents):
        return [(query.astype(np.float32) @ document.astype(np.float32).T).mean(1).sum() for document in documents]

    assert audit(mean, pool="mean").holds
    assert "value" in {one.law.name for one in audit(mean).failed}
    with pytest.raises(OptionError, match="did you mean 'maxsim'"):
        audit(mean, pool="maxsin")


def test_this_programs_own_pass_obeys_the_laws():
    assert set(results(audit("harness")).values()) == {"pass"}


def test_a_scorer_of_one_width_is_given_vectors_of_that_width():
    for dim in (48, 256):

        def fixed(query, documents, dim=dim):
            assert {one.shape[1] for one in (query, *documents)} == {dim}, "another width"
            return padded(query, documents)

        assert "another width" in audit(fixed).results[0].words
        assert str(found(fixed, "padding", dim=dim)).startswith(PADDING)
    with pytest.raises(OptionError, match="at least 1"):
        audit(right, dim=0)


def test_small_cases_come_first_and_every_number_is_exact_in_float16():
    for law in LAWS.values():
        sizes = [case.numbers for case in law.cases()]
        assert sizes[0] < max(sizes)
        for case in law.cases():
            arrays = (case.query, *case.documents)
            assert all((one == one.astype(np.float16)).all() and one.dtype == np.float32 for one in arrays)


def test_smaller_cases_are_smaller_or_plainer_and_never_empty():
    case = next(iter(LAWS["padding"].cases()))
    for one in smaller(case):
        assert min(one.tokens, len(one.documents), *one.patches, one.query.shape[1]) > 0
        assert one.numbers <= case.numbers
    assert narrow(Case(np.ones((2, 5)), (np.ones((3, 5)),)), 4).query.shape == (2, 4)


def test_a_case_in_words():
    many = Case(np.ones((1, 2), np.float32), tuple(np.ones((at + 1, 2), np.float32) for at in range(9)))
    assert text(many) == "a query of 1 token, 9 documents of 1, 2, 3, 4, 5, 6 and 3 more patches, 2 dimensions"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """A command line in a folder that holds a module ``mine``: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    body = "import tests.audit.scorers as these\nprint('hello')\nclass Kit: score = staticmethod(these.right)\n"
    (tmp_path / "mine.py").write_text(body + "padded, right, number = these.padded, these.right, 7\n")
    (tmp_path / "bad.py").write_text("import nowhere_at_all\n")

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "audit", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out = capsys.readouterr()
        return int(end.value.code or 0), out.out, out.err

    return command


def test_the_command_tells_by_its_exit_code(run):
    code, out, _ = run("mine:right")
    assert code == 0 and "11 of 11 laws hold for mine:right as maxsim." in out
    code, out, _ = run("mine:padded")
    assert code == 1 and "9 of 11 laws hold" in out and "got 0.0 beside the others" in " ".join(out.split())
    assert "padding is invisible" in " ".join(out.split()) and max(map(len, out.splitlines())) <= 100
    assert run("mine:Kit.score")[0] == 0


def test_json_is_alone_on_standard_output(run):
    code, out, err = run("mine:padded", "--format", "json")
    made = json.loads(out)
    assert code == 1 and "hello" in err
    assert (made["target"], made["pool"], made["holds"]) == ("mine:padded", "maxsim", False)
    by_name = {one["check"]: one for one in made["checks"]}
    assert list(by_name) == list(LAWS) and by_name["ties"]["counterexample"] is None
    example = by_name["padding"]["counterexample"]
    assert (example["document"], example["expected"], example["got"]) == (0, -1.0, 0.0)
    assert (example["query"], example["documents"]) == ([[1.0]], [[[-1.0]], [[1.0], [1.0]]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pylait"], "did you mean 'pylate'?"),
        (["nowhere_at_all:score"], "No module named 'nowhere_at_all'"),
        (["bad:score"], "No module named 'nowhere_at_all'"),
        (["mine:paded"], "did you mean 'padded'?"),
        (["mine:number"], "is not a function: int"),
        (["mine:right", "--pool", "topk:0"], "k must be at least 1"),
        (["mine:right", "--format", "jsn"], "did you mean 'json'?"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(run, arguments, words):
    code, out, err = run(*arguments)
    [line] = [one for one in err.splitlines() if one != "hello"]
    assert (code, out) == (2, "") and line.startswith("harness: ") and words in line


def test_a_package_that_is_missing_comes_with_the_line_that_installs_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pylate", None)
    code, _, err = run("pylate")
    assert code == 2 and err.strip().endswith("pip install pylate") and len(err.splitlines()) == 1


def test_a_scorer_can_be_added_under_a_name():
    SCORERS.register("mine")(lambda pool: padded)
    try:
        assert not audit("mine").holds
    finally:
        SCORERS.forget("mine")


def test_the_plain_command_needs_numpy_alone(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def score(query, documents):\n    return [(query @ d.T).max(1).sum() for d in documents]\n"
    )
    heavy = "torch pandas rich click numba scipy"
    code = (
        f"import sys, runpy; sys.modules |= dict.fromkeys({heavy.split()!r}); sys.argv = ['audit', 'mine:score']\n"
        "runpy.run_module('harness.audit', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == "" and done.stdout.splitlines()[0].split() == ["value", "pass"]
    assert done.returncode == 1 and "half precision         fail" in done.stdout


def test_markup_in_a_counterexample_is_shown_as_it_is():
    def rude(query, documents):
        raise ValueError("[bold]no[/]")

    console = Console(width=200, record=True, file=io.StringIO())
    terminal.show(build(audit(rude)), console)
    assert "raised ValueError: [bold]no[/]" in console.export_text()
