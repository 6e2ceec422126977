"""The user's own line, word for word, in a process of its own: on the tests' corpus, and on a part of SciFact."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import TINY

LINE = "harness eval --dataset scifact --pool maxsim --lengths 32,64,128,256"
QUERIES, OTHERS = 20, 60


def part_of(scifact: Path, folder: Path) -> None:
    """The first judged claims, the abstracts judged for them, and some others."""
    judged = [line.split("\t") for line in (scifact / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    claims = list(dict.fromkeys(query for query, _, _ in judged))[:QUERIES]
    judged = [row for row in judged if row[0] in claims]
    gold = {document for _, document, _ in judged}
    (folder / "qrels").mkdir(parents=True)
    lines = (scifact / "corpus.jsonl").read_text().splitlines()
    relevant = [line for line in lines if json.loads(line)["_id"] in gold]
    others = [line for line in lines if json.loads(line)["_id"] not in gold][:OTHERS]
    (folder / "corpus.jsonl").write_text("\n".join(relevant + others))
    (folder / "queries.jsonl").write_text((scifact / "queries.jsonl").read_text())
    (folder / "qrels" / "test.tsv").write_text("\n".join("\t".join(row) for row in judged))


@pytest.mark.parametrize("corpus", ["tiny", "scifact"])
def test_the_users_own_line(corpus, request, tmp_path):
    folder = tmp_path / "datasets" / "scifact"
    if corpus == "tiny":
        shutil.copytree(TINY, folder)
    else:
        part_of(request.getfixturevalue("scifact"), folder)
    environment = os.environ | {
        "HARNESS_DATASETS": str(folder.parent),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(LINE.split(), cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    queries = 24 if corpus == "tiny" else QUERIES
    assert f"scifact, split test, {queries} queries" in done.stdout and "L = 256" in done.stdout
    [run] = (tmp_path / "runs").glob("eval-scifact-minilm-*")
    summary = pd.read_csv(run / "summary.csv")
    assert set(summary["arm"]) == {"truncate", "pad", "candidates"}
    value = summary.set_index(["arm", "length", "measure"])["value"]
    best = value["truncate", 256, "nDCG@10"]
    assert best > 0.85  # the relevant documents among few others: easy for a working model
    assert value["truncate", 32, "nDCG@10"] == value["pad", 32, "nDCG@10"]
    assert value["pad", 256, "nDCG@10"] < best
    cells = json.loads((run / "manifest.json").read_text())["cells"]
    assert len(cells) == 8
    for cell in cells:
        assert cell["arm"] == "truncate" or cell["patches_min"] == cell["patches_max"] == cell["length"]
