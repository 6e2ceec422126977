"""The scoring pass as a GPU has it, in torch and in Triton, against the compiled pass.

Without a GPU it runs on the CPU, Triton in its interpreter.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import torch

import harness
from harness.aggregators import AGGREGATORS
from harness.candidates import find
from harness.commands.context import RunContext
from harness.engines.local import Local
from harness.records import Candidates
from harness.scoring import devices, padded, pieces
from harness.scoring.attack import attack
from harness.scoring.sweep import sweep
from harness.vectors.arms import make_arm
from harness.vectors.injections import Injection
from tests.candidates.test_candidates import search
from tests.conftest import TINY, all_candidates, multivectors

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
LENGTHS = [2, 8, 70]
POOLS = ["maxsim", "topk:3", "topk:40", "softmax:0.1", "logsumexp:0.05", "logmeanexp:0.05", "mean"]
MADE = [AGGREGATORS.make(pool) for pool in POOLS]
DOCUMENTS = multivectors([3, 1, 90, 8, 64], dim=24, seed=1)
QUERIES = multivectors([5, 1, 32, 12], dim=24, seed=2, prefix="q")


@pytest.fixture(params=["torch", "triton"])
def way(request, monkeypatch):
    """Sends operators through torch alone, or those that are fused through Triton."""
    if request.param == "triton" and importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    from_torch = request.param == "torch"
    monkeypatch.setattr(devices, "runs_triton", lambda device: not from_torch)
    return request.param


def both(candidates=None, arm=None, lengths=LENGTHS, made=MADE, documents=DOCUMENTS, queries=QUERIES, **options):
    """Scores by the compiled pass and on the device."""
    question = (
        documents,
        queries,
        candidates or all_candidates(queries, documents),
        arm or make_arm("truncate", lengths, None, "distractor", 0),
        lengths,
        made,
    )
    return sweep(*question).values, sweep(*question, device=DEVICE, **options).values


def close(expected, got):
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)


ARMS = [("truncate", "distractor"), ("pad", "distractor"), ("pad", "repeat"), ("equalize", "zero")]


@pytest.mark.parametrize("name, fill", ARMS)
def test_a_device_scores_as_the_compiled_pass(way, name, fill):
    close(*both(arm=make_arm(name, LENGTHS, None, fill, seed=0)))


@pytest.mark.parametrize("held, lanes, piece", [(1, 1, 1), (20_000, 7, 40), (1 << 25, 512, 33)])
def test_the_size_of_batches_groups_and_pieces_changes_nothing(way, monkeypatch, held, lanes, piece):
    expected, whole = both(lengths=[1, 33], made=MADE[:4])
    for name, value in {"HELD": held, "LANES": lanes, "PIECE": piece}.items():
        monkeypatch.setattr(pieces, name, value)
    _, got = both(lengths=[1, 33], made=MADE[:4], engine=Local(2))
    close(expected, whole)
    close(expected, got)


def test_documents_and_queries_longer_than_a_group(way):
    documents, queries = multivectors([200, 1, 129, 65], 12), multivectors([70, 1, 130], 12, 1, "q")
    made = [AGGREGATORS.make(pool) for pool in ("maxsim", "topk:4", "softmax:0.1")]
    close(*both(documents=documents, queries=queries, lengths=[64, 65, 512], made=made))


def test_empty_slots_stay_empty_and_each_query_has_its_own_candidates(way):
    rows = np.array([[3, -1, 2], [-1, -1, -1], [0, 1, 2], [4, -1, -1]])
    expected, got = both(Candidates(QUERIES.ids, DOCUMENTS.ids, rows, "test", 1.0), lengths=[8], made=MADE[:2])
    assert np.isnan(got[..., rows < 0]).all()
    close(expected, got)


def test_similarities_are_float32_whatever_the_program_has_chosen(way):
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        close(*both(lengths=[32], made=MADE[:2]))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_an_operator_from_outside_runs_beside_fused_ones(way, plain):
    _, got = both(made=[plain(), MADE[0], plain(), MADE[1]])
    np.testing.assert_allclose(got[0], got[1], atol=1e-5)
    np.testing.assert_array_equal(got[0], got[2])
    candidates = all_candidates(QUERIES, DOCUMENTS)
    hijacked = attack(DOCUMENTS, QUERIES, candidates, Injection("hard", (0, 3)), [plain()], device=DEVICE).hijacked
    assert (hijacked[0, 0] == 0).all() and np.isnan(hijacked[0, 1]).all()


@pytest.mark.parametrize("held, lanes, piece", [(1 << 25, 512, 1 << 20), (5_000, 7, 40)])
def test_a_device_attacks_as_the_compiled_pass(monkeypatch, held, lanes, piece):
    rows = np.array([[3, -1, 2, 0], [-1, -1, -1, -1], [0, 1, 2, 4], [4, 3, -1, -1]])
    some = Candidates(QUERIES.ids, DOCUMENTS.ids, rows, "test", 1.0)
    question = (DOCUMENTS, QUERIES, some, Injection("hard", (0, 1, 5, 30)), MADE)
    for name, value in {"HELD": held, "LANES": lanes, "PIECE": piece}.items():
        monkeypatch.setattr(pieces, name, value)
    expected, got = attack(*question), attack(*question, device=DEVICE)
    close(expected.values, got.values)
    close(expected.hijacked, got.hijacked)


def test_a_device_without_triton_says_so_and_takes_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "harness.scoring.fused", raising=False)
    devices.no_triton.cache_clear()
    try:
        (note,) = devices.notes(DEVICE)
        assert note.startswith("no Triton here (") and note.endswith("): the sweep runs in torch")
        assert not devices.runs_triton(torch.device("cuda"))
        assert devices.notes(None) == []
    finally:
        devices.no_triton.cache_clear()


def test_triton_that_runs_needs_no_note():
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    assert devices.notes(DEVICE) == []


def test_a_run_on_a_device_has_the_figures_of_one_on_the_cpu(monkeypatch, tmp_path):
    question = {"dataset": str(TINY), "pool": "maxsim,topk:4", "lengths": [8, 32], "arms": "truncate", "device": "cpu"}
    plain = harness.evaluate(**question, output=tmp_path / "plain")
    used = []
    monkeypatch.setattr(RunContext, "accelerator", property(lambda _: DEVICE))
    monkeypatch.setattr(padded, "score_sweep", lambda *a, real=padded.score_sweep: used.append(1) or real(*a))
    monkeypatch.setattr(devices, "runs_triton", lambda device: False)
    got = harness.evaluate(**question, output=tmp_path / "device")
    assert used
    np.testing.assert_allclose(got.summary["value"], plain.summary["value"], atol=1e-6)


class Gpu:
    """What a FAISS built for GPUs has, and which index was moved to which of them."""

    def __init__(self, monkeypatch, gpus=2, refuses=False):
        import faiss

        self.moved = []

        def move(resources, number, index):
            if refuses:
                raise RuntimeError("This index type is not implemented on GPU.")
            self.moved.append(number)
            return index

        monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus, raising=False)
        monkeypatch.setattr(faiss, "index_cpu_to_gpu", move, raising=False)


@pytest.mark.parametrize("device, moved", [("cpu", []), ("cuda", [0]), ("cuda:1", [1])])
def test_faiss_searches_on_the_gpu_of_the_run(tmp_path, monkeypatch, device, moved):
    gpu = Gpu(monkeypatch)
    asked = dataclasses.replace(search(DOCUMENTS, QUERIES, tmp_path), device=device)
    found = find("faiss", asked)
    np.testing.assert_array_equal(found.rows, find("faiss", search(DOCUMENTS, QUERIES, tmp_path)).rows)
    assert gpu.moved == moved and list(found.notes) == []


@pytest.mark.parametrize("gpus, refuses, note", [(0, False, "no GPU"), (1, False, "no GPU"), (2, True, "Flat")])
def test_where_faiss_cannot_use_the_gpu_it_stays_on_the_cpu_and_says_so(tmp_path, monkeypatch, gpus, refuses, note):
    gpu = Gpu(monkeypatch, gpus, refuses)
    asked = dataclasses.replace(search(DOCUMENTS, QUERIES, tmp_path), device="cuda:1")
    found = find("faiss", asked)
    np.testing.assert_array_equal(found.rows, find("faiss", search(DOCUMENTS, QUERIES, tmp_path)).rows)
    assert gpu.moved == [] and len(found.notes) == 1 and note in found.notes[0] and "CPU" in found.notes[0]
