"""The benchmarks' own promises: the same work for everyone, and a check that notices what became slower."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from benchmarks import checking, results, work

MACHINE = {"processor": "one", "cores": 2, "instructions": ["avx2"]}


def record(figures: dict, **machine) -> dict:
    return {"machine": MACHINE | machine, "date": "2026-01-02", "rounds": 3, "figures": figures}


HELD = {
    "scoring": record(
        {
            "uniform": {
                "floor": {"over_floor": 1.0},
                "harness, 12 cells": {"over_floor": 1.2},
                "maxsim-cpu, 1 cell": {"over_floor": 6.0},
            }
        }
    ),
    "encoding": record(
        {
            "harness, bfloat16": {"times_sentence_transformers": 2.2},
            "sentence-transformers": {"times_sentence_transformers": 1.0},
        }
    ),
    "growth": record({"length": 0.01}),
}


def slower(times: float, case: str = "harness, 12 cells") -> dict:
    made = copy.deepcopy(HELD)
    made["scoring"]["figures"]["uniform"][case]["over_floor"] *= times
    return made


def test_the_check_names_what_became_slower(capsys):
    assert checking.check(slower(1.2), HELD) == 0
    assert checking.check(slower(1.3), HELD) == 1
    assert "slower than committed: scoring, uniform: harness, 12 cells" in capsys.readouterr().out
    assert checking.check({"encoding": record({"harness, bfloat16": {"times_sentence_transformers": 1.5}})}, HELD) == 1
    assert checking.check({"growth": record({"length": 0.03})}, HELD) == 0
    assert checking.check({"growth": record({"length": 0.09})}, HELD) == 1


def test_only_the_program_itself_is_compared(capsys):
    assert checking.check(slower(9.0, "maxsim-cpu, 1 cell"), HELD) == 0
    assert "maxsim-cpu" not in capsys.readouterr().out
    names = [name for name, _ in checking.ratios(HELD)]
    assert names == [
        "scoring, uniform: harness, 12 cells, × floor",
        "encoding: harness, bfloat16, time ÷ sentence-transformers'",
    ]


def test_a_check_that_compared_nothing_fails(capsys):
    assert checking.check(slower(9.0), {}) == 1
    other = {part: record(one["figures"], instructions=["avx2", "amx_bf16"]) for part, one in HELD.items()}
    assert checking.check(HELD, other) == 1
    out = capsys.readouterr().out
    assert "not compared, for one processor has amx_bf16" in out and "nothing was compared" in out


def test_a_part_that_is_measured_again_leaves_the_others_as_they_are(tmp_path):
    path = tmp_path / "results.json"
    results.keep("scoring", HELD["scoring"], path)
    held = results.keep("growth", results.recorded({"length": 0.5}, 7), path)
    assert held == results.read(path) and held["scoring"] == HELD["scoring"]
    assert held["growth"]["rounds"] == 7 and held["growth"]["machine"]["processor"] and held["growth"]["date"]


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
    by_hand = sum(
        2 * len(small.query(at)) * len(small.document(row)) * 384 for at, rows in enumerate(small.rows) for row in rows
    )
    assert small.flops == by_hand
    work.products(small)()
