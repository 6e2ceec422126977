"""Where numba or llvm.py does not load, all aggregators run in torch to the same figures, and the manifest says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import harness
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
POOLS = "maxsim,topk:4,softmax:0.1,logsumexp:0.1,logmeanexp:0.1,mean"
CHILD = """
import json, sys

for hidden in sys.argv[1:]:
    sys.modules[hidden] = None  # imports of it fail, as where it is not installed
from tests.scoring.test_without_numba import answers

json.dump(answers(sys.stdin.read()), sys.stdout)
"""


def answers(output: str) -> dict[str, tuple[str, list[str], str]]:
    """By command a run's folder, its manifest's notes and its product."""
    question = {"dataset": str(TINY), "pool": POOLS, "depth": 20, "output": output}
    runs = {
        "eval": harness.evaluate(**question, lengths=[8, 32], arms="truncate,pad"),
        "stress": harness.stress(**question, counts=[0, 5]),
        "train": harness.train(
            dataset=str(TINY), split="test", pool="softmax", dim=8, epochs=1, gallery=20, output=f"{output}/trained"
        ),
    }
    manifests = {name: run.manifests[0] if name == "train" else run.manifest for name, run in runs.items()}
    folders = {name: run.checkpoints[0] / "training" if name == "train" else run.path for name, run in runs.items()}
    return {name: (str(folders[name]), list(one.notes), one.host["product"]) for name, one in manifests.items()}


def values(folder: str) -> np.ndarray:
    """All figures of a run, query by query, or epoch by epoch."""
    path = Path(folder)
    table = (
        pd.read_csv(path / "training.csv") if path.name == "training" else pd.read_parquet(path / "per_query.parquet")
    )
    return table.select_dtypes("number").to_numpy(float)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    return answers(str(tmp_path_factory.mktemp("compiled")))


@pytest.mark.parametrize("hidden", ["numba", "llvmlite", "harness.scoring.llvm"])
def test_the_program_has_the_same_figures_and_says_why_it_is_slower(hidden, compiled, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, hidden],
        input=str(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = json.loads(done.stdout)
    for command, (folder, notes, product) in found.items():
        expected, before, _ = compiled[command]
        [note] = [one for one in notes if one not in before]
        assert note.startswith("no compiled kernels here (") and hidden in note and product == "torch"
        assert note.endswith("): every aggregator is scored in torch, slower")
        np.testing.assert_allclose(values(folder), values(expected), atol=1e-5, rtol=0, err_msg=command)
    assert found.keys() == compiled.keys()


def test_compiled_runs_need_no_note(compiled):
    for _, notes, product in compiled.values():
        assert not any("compiled" in note for note in notes) and product != "torch"
