"""What every command prints is the committed text, and at any width no number is lost and no line too long.

``make golden`` (or RENEW_GOLDEN=1 with pytest) writes tests/data/golden again; read the difference before
it is committed.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import harness
from harness.audit import audit
from harness.planning.estimate import estimate
from harness.records import Manifest
from harness.reports.content import Cell, Column, Row, Section, Table, decimals, interval, share
from harness.reports.formats import terminal
from harness.reports.reading import open_run
from harness.reports.sections import audit as audit_section
from harness.reports.sections import inspect, list, plan, stress, train
from harness.reports.sections.base import section
from tests.commands.test_plan import RATES, WORK
from tests.conftest import TINY

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
NUMBER = re.compile(r"\d+(\.\d+)?(e-?\d+)?")
RUNS = ["eval", "stress", "gradients", "synth", "compare"]


def printed(shown: Section, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    terminal.show(shown, console)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines).strip("\n") + "\n"


def of_run(finished, command: str) -> Section:
    """A run's section as if it had been asked of a dataset called tiny."""
    run = open_run(finished[command].path)
    config = run.manifest.config
    names = {name: name.replace(Path(config["dataset"]).name, "tiny") for name in config.get("runs", ())}
    config = config | {"dataset": "tiny"} | ({"runs": names} if names else {})
    return section(replace(run, manifest=replace(run.manifest, config=config)))


def scorer(query, documents):
    return np.array([(query @ document.T).sum() for document in documents])


def of_command(command: str, finished) -> Section:
    if command in RUNS:
        return of_run(finished, command)
    if command == "explain":
        table = pd.read_parquet(finished["stress"].path / "alignment.parquet")
        return stress.explained(table[table["query_id"] == "q-ash"], "runs/stress/explain-*.svg")
    if command == "plan":
        return plan.build(estimate(WORK, RATES))
    if command == "audit":
        return audit_section.build(audit(scorer))
    if command == "inspect":
        return inspect.build(harness.inspect(str(TINY), checkpoint="none"))
    if command == "list":
        return list.build("all", "", Path("nowhere"))
    rows = [["maxsim", 0, 0, None, "nDCG@10", 0.5, False], ["maxsim", 0, 1, 1.25, "nDCG@10", 0.625, True]]
    rows += [["mean", 0, 0, None, "nDCG@10", 0.75, True], ["mean", 0, 1, 2.5, "nDCG@10", 0.25, False]]
    history = pd.DataFrame(rows, columns=["pool", "seed", "epoch", "loss", "measure", "value", "kept"])
    config = {"dataset": "tiny", "split": "train", "checkpoint": "minilm", "what": "projection"}
    manifest = Manifest("train", config, {}, None, {}, {}, notes=["22 queries are trained on", "epoch 1 was kept"])
    return train.build(history, [Path("trained/maxsim-seed0"), Path("trained/mean-seed0")], manifest)


@pytest.mark.parametrize("command", [*RUNS, "explain", "train", "plan", "audit", "list", "inspect"])
def test_what_a_command_prints_is_the_committed_text(command, finished):
    """Letters and the places of numbers are the same; the numbers to what another processor may change."""
    text = printed(of_command(command, finished))
    text = re.sub(r"(?m)^((?:Files|\w+): ).*/(?=[\w.-]+$|[\w.-]+; )", r"\1", text)
    text = re.sub(r"-[0-9a-f]{8}\b", "-00000000", text)
    path = GOLDEN / f"{command}.txt"
    if os.environ.get("RENEW_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    golden = path.read_text(encoding="utf-8")
    blank = [NUMBER.sub(lambda number: "0" * len(number[0]), one) for one in (text, golden)]
    assert blank[0] == blank[1]
    numbers = [[float(number[0]) for number in NUMBER.finditer(one)] for one in (text, golden)]
    np.testing.assert_allclose(*numbers, atol=2e-3, rtol=0.03)


@pytest.mark.parametrize("command", [*RUNS, "plan"])
@pytest.mark.parametrize("width", [60, 80, 140])
def test_at_any_width_every_number_is_there_and_no_line_is_too_long(command, width, finished):
    shown = of_command(command, finished)
    text = printed(shown, width)
    assert all(len(line) <= width for line in text.splitlines() if not line.startswith("Files: "))
    assert "…" not in text
    for table in shown.tables:
        for cell in (cell for row in table.rows for cell in row.cells):
            assert cell.text in text and cell.beside_text in text


numbers = st.floats(-1, 1, allow_nan=False)


@st.composite
def tables(draw) -> Table:
    """A table of one to eight columns and rows of pools, with or without shares, intervals and daggers."""
    columns, shares, signed = draw(st.integers(1, 8)), draw(st.booleans()), draw(st.booleans())

    def cell() -> Cell:
        value = draw(numbers) if signed else abs(draw(numbers))
        low, high = value - 0.25 * signed, value + draw(st.floats(0, 0.5))
        beside = draw(st.floats(0, 2)) if shares else None
        return Cell(
            value,
            decimals(value),
            beside,
            share(beside) if shares else "",
            low,
            high,
            interval(low, high),
            mark=draw(st.booleans()),
        )

    names = draw(st.lists(st.sampled_from(["maxsim", "topk:4", "softmax:0.1", "a-run-of-a-name-that-is-long-seed0"])))
    rows = tuple(Row(name, tuple(cell() for _ in range(columns))) for name in ["first", *names])
    return Table("t", "A title", "pool", tuple(Column(f"L = {2**at}", 2**at) for at in range(columns)), rows)


@given(tables(), st.integers(40, 160))
def test_numbers_stand_at_the_right_of_their_column_whole_and_under_its_name(table, width):
    text = printed(Section("", tables=(table,)), width)
    assert all(len(line) <= width for line in text.splitlines()) and "…" not in text
    for at, column in enumerate(table.columns):
        heads = [line for line in text.splitlines() if re.search(rf"{column.name}\b", line)]
        assert len(heads) == 1, "every column stands once"
        end = re.search(rf"{column.name}\b", heads[0]).end()
        block = text[text.index(heads[0]) :].split("\n\n")[0].splitlines()
        shown = " ".join(line[:end].rpartition("  ")[2].strip() for line in block)
        for row in table.rows:
            cell = row.cells[at]
            assert cell.text in text and cell.beside_text in text
            assert cell.text in shown or f"{cell.text} {cell.beside_text}" in shown


def test_a_note_is_at_most_two_lines():
    note = "Note: " + "many words " * 60
    text = printed(Section("A title", "A question.", (note,)))
    assert len(text.splitlines()) == 4 and text.rstrip().endswith("…")
