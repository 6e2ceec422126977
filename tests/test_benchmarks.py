"""The benchmarks' own promises: the same work for everyone, and a check that notices what became slower."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from benchmarks import checking, results, tables, timing, work

COMMITTED = results.read()
SAME, OTHER = ["avx2", "avx512f"], ["avx2", "avx512f", "amx_bf16"]
FIGURES: dict[str, Any] = {
    "scoring": {"uniform": {"floor": {"over_floor": 1.0}, "harness, 12 cells": {"over_floor": 1.2}}},
    "encoding": {"harness, bfloat16": {"times_sentence_transformers": 2.2}},
    "growth": {"length": 0.01},
}


def measured(figures: dict[str, Any], instructions: list[str] = SAME) -> dict[str, Any]:
    """Parts as results.json holds them."""
    machine = {"processor": "one", "cores": 2, "instructions": instructions}
    about = {"machine": machine, "date": "2026-01-02", "rounds": 3}
    return {part: {**about, "figures": copy.deepcopy(rows)} for part, rows in figures.items()}


HELD = measured(FIGURES)


def slower(times: float) -> dict[str, Any]:
    made = measured(FIGURES)
    made["scoring"]["figures"]["uniform"]["harness, 12 cells"]["over_floor"] *= times
    return made


def test_the_check_names_what_became_slower(capsys):
    assert checking.check(slower(1.2), HELD) == 0
    assert checking.check(slower(1.3), HELD) == 1
    assert "slower than committed: scoring, uniform: harness, 12 cells" in capsys.readouterr().out
    encoding = measured({"encoding": {"harness, bfloat16": {"times_sentence_transformers": 1.5}}})
    assert checking.check(encoding, HELD) == 1
    assert checking.check(measured({"growth": {"length": 0.03}}), HELD) == 0
    assert checking.check(measured({"growth": {"length": 0.09}}), HELD) == 1


def test_every_ratio_that_is_checked_is_the_programs_own_and_can_fail(capsys):
    """A peer against itself is 1 however slow the program is."""
    made = copy.deepcopy(COMMITTED)
    for rows in made["scoring"]["figures"].values():
        for case in [case for case in rows if case.startswith("harness")]:
            rows[case]["over_floor"] *= 2
    for case in [case for case in made["encoding"]["figures"] if case.startswith("harness")]:
        made["encoding"]["figures"][case]["times_sentence_transformers"] /= 2
    held, now = dict(checking.ratios(COMMITTED)), dict(checking.ratios(made))
    assert len(held) > 8 and [now[name] / held[name] for name in held] == pytest.approx([2.0] * len(held))
    assert checking.check(COMMITTED, COMMITTED) == 0 and checking.check(made, COMMITTED) == 1
    said = capsys.readouterr().out
    assert all(f"slower than committed: {name}" in said for name in held)


def test_a_processor_with_other_instructions_is_not_compared_with(capsys):
    mixed = {**measured(FIGURES, OTHER), "growth": HELD["growth"]}
    assert checking.check(slower(9.0), mixed) == 0  # growth alone was measured on such a processor
    assert "scoring: not compared, for one processor has amx_bf16 and the other has not" in capsys.readouterr().out


def test_a_check_that_compares_nothing_fails(capsys):
    assert checking.check(slower(1.0), {}) == checking.check(slower(1.0), measured(FIGURES, OTHER)) == 1
    assert "nothing was compared" in capsys.readouterr().out


def test_a_part_that_is_measured_again_leaves_the_others_their_machine_date_and_rounds(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(HELD))
    results.keep("growth", results.recorded({"length": 0.5}, rounds=11), path)
    found = results.read(path)
    assert {part: found[part] for part in ("scoring", "encoding")} == {
        part: HELD[part] for part in ("scoring", "encoding")
    }
    assert found["growth"]["rounds"] == 11 and found["growth"]["machine"] == timing.machine()
    assert results.figures(found, "growth") == {"length": 0.5} and found["growth"]["date"] > "2026-01-02"


def test_every_part_has_its_machine_and_the_page_shows_what_was_measured_on_it():
    page = tables.README.read_text()
    assert tables.rendered(page, COMMITTED) == page
    for part, record in COMMITTED.items():
        assert set(record) == {"machine", "date", "rounds", "figures"}
        assert results.origin(record) in page, part
    other = copy.deepcopy(COMMITTED)
    other["scoring"]["machine"]["processor"] = "Another"
    assert "On: Another, 2 cores" in tables.rendered(page, other)


@pytest.fixture
def small(monkeypatch) -> work.Work:
    for name, value in (("QUERIES", 6), ("CANDIDATES", 5), ("DOCUMENTS", 20)):
        monkeypatch.setattr(work, name, value)
    return work.ragged()


def test_ragged_work_has_the_lengths_of_scifact(small):
    counts = np.diff(small.offsets)
    assert len(counts) == 20 and counts.min() == 70 and counts.max() == 512 and len(set(counts)) > 10
    again = work.ragged()
    assert np.array_equal(again.documents, small.documents) and np.array_equal(again.rows, small.rows)


def test_the_floor_counts_every_product_of_the_work(small):
    by_hand = sum(2 * len(small.query(at)) * len(small.document(row)) * 384
                  for at, rows in enumerate(small.rows) for row in rows)  # fmt: skip
    assert small.flops == by_hand
    work.products(small)()
