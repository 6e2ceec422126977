"""The benchmarks' own promises: the same work for everyone, and a check that notices what became slower."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from benchmarks import checking, work

HELD = {
    "machine": {"processor": "one"},
    "scoring": {"uniform": {"floor": {"over_floor": 1.0}, "harness, 12 cells": {"over_floor": 1.2}}},
    "encoding": {"harness, bfloat16": {"times_sentence_transformers": 2.2}},
    "growth": {"length": 0.01},
}


def slower(times: float) -> dict:
    made = copy.deepcopy(HELD)
    made["scoring"]["uniform"]["harness, 12 cells"]["over_floor"] *= times
    return made


def test_the_check_names_what_became_slower(capsys):
    assert checking.check(slower(1.2), HELD) == 0
    assert checking.check(slower(1.3), HELD) == 1
    assert "slower than committed: scoring, uniform: harness, 12 cells" in capsys.readouterr().out
    assert checking.check({"encoding": {"harness, bfloat16": {"times_sentence_transformers": 1.5}}}, HELD) == 1
    assert checking.check({"growth": {"length": 0.03}}, HELD) == 0
    assert checking.check({"growth": {"length": 0.09}}, HELD) == 1


def test_what_was_not_committed_is_not_compared():
    assert checking.check(slower(9.0), {}) == 0


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
