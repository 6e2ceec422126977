"""The user's own line on real claims, abstracts and judgments: a part of SciFact, small enough for two cores."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pytest

from harness import cli

QUERIES, OTHERS = 20, 60


@pytest.fixture(scope="module")
def part_of_scifact(scifact, tmp_path_factory):
    """The first judged claims, the abstracts judged for them, and some others; named scifact."""
    judged = [line.split("\t") for line in (scifact / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    claims = list(dict.fromkeys(query for query, _, _ in judged))[:QUERIES]
    judged = [row for row in judged if row[0] in claims]
    gold = {document for _, document, _ in judged}
    folder = tmp_path_factory.mktemp("datasets") / "scifact"
    (folder / "qrels").mkdir(parents=True)
    lines = (scifact / "corpus.jsonl").read_text().splitlines()
    relevant = [line for line in lines if json.loads(line)["_id"] in gold]
    others = [line for line in lines if json.loads(line)["_id"] not in gold][:OTHERS]
    (folder / "corpus.jsonl").write_text("\n".join(relevant + others))
    (folder / "queries.jsonl").write_text((scifact / "queries.jsonl").read_text())
    (folder / "qrels" / "test.tsv").write_text("\n".join("\t".join(row) for row in judged))
    return folder.parent


def test_the_users_own_line(part_of_scifact, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_DATASETS", str(part_of_scifact))
    line = "harness eval --dataset scifact --pool maxsim --lengths 32,64,128,256"
    monkeypatch.setattr(sys, "argv", line.split())
    with pytest.raises(SystemExit) as end:
        cli.main()
    out = capsys.readouterr().out
    assert end.value.code in (0, None)
    assert "scifact, split test, 20 queries" in out and "L = 256" in out
    [run] = (tmp_path / "runs").glob("eval-scifact-minilm-*")
    summary = pd.read_csv(run / "summary.csv")
    value = summary.set_index(["arm", "length", "measure"])["value"]
    assert set(summary["arm"]) == {"truncate", "pad", "candidates"}
    assert value["truncate", 256, "nDCG@10"] > 0.85  # gold abstracts among 60 others: easy for a working model
    assert value["truncate", 32, "nDCG@10"] == value["pad", 32, "nDCG@10"]
    assert value["pad", 256, "nDCG@10"] < value["truncate", 256, "nDCG@10"]
    cells = json.loads((run / "manifest.json").read_text())["cells"]
    assert all(cell["patches_min"] == cell["patches_max"] == cell["length"] for cell in cells if cell["arm"] == "pad")
