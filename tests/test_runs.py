"""The run directory and its files: exact, atomic, readable by others, finished when there is a manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote

import ir_measures
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.files import cache_folder, checksum, digest, write_atomically
from harness.records import Manifest, ScoredDoc
from harness.runs import RunDirectory, runs, slug
from harness.statistics.tables import TESTS

IDS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(" %\t\n\u2028\x85"), min_size=1, max_size=6)
SCORES = st.lists(st.floats(width=32, allow_nan=False), max_size=8)


def read_back(path: Path) -> list[ScoredDoc]:
    """As ir_measures reads it; ids with white space or % are percent-encoded, and the tag says so."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = file.read()
    found = list(ir_measures.read_trec_run(io.StringIO(text)))
    if text.split("\n")[0].endswith(" harness-percent-encoded"):
        return [ScoredDoc(unquote(one.query_id), unquote(one.doc_id), one.score) for one in found]
    return found


@settings(deadline=None, max_examples=60)
@given(queries=st.dictionaries(IDS, SCORES, max_size=4), doc=IDS)
@example(queries={"<q>:ж/": [1 / 3, 16777217, 1e-45, -0.0, float("inf")]}, doc="a:<b>")
@example(queries={"50 %": [0.0], "%20": [1.0]}, doc="Global warming\u3000%41")
def test_a_ranking_is_read_by_ir_measures_with_every_score_exact(queries, doc):
    run = [ScoredDoc(q, f"{doc}{at}", float(np.float32(s))) for q, all in queries.items() for at, s in enumerate(all)]
    with tempfile.TemporaryDirectory() as work:
        directory = RunDirectory(Path(work))
        path = directory.ranking("pad", "topk:4", 32)
        directory.write_ranking(path, run)
        assert [scored[:2] for scored in read_back(path)] == [scored[:2] for scored in run]
        scores = np.array([scored.score for scored in read_back(path)], np.float32)
        assert scores.tobytes() == np.array([scored.score for scored in run], np.float32).tobytes()
        assert list(directory.read_ranking(path)) == read_back(path)


def test_ids_that_a_trec_file_can_hold_are_written_as_they_are(tmp_path):
    directory, ids = RunDirectory(tmp_path), ["a/b", "<dbpedia:É>", "x,y", "#1", 'q"', "C:\\tmp", "."]
    directory.write_ranking(tmp_path / "r.gz", [ScoredDoc("q", name, 0.0) for name in ids])
    rows = [line.split(" ") for line in gzip.decompress((tmp_path / "r.gz").read_bytes()).decode().splitlines()]
    assert [(row[2], row[5]) for row in rows] == [(name, "harness") for name in ids]


def test_a_ranking_counts_ranks_from_one_in_each_query(tmp_path):
    directory = RunDirectory(tmp_path)
    path = directory.ranking("pad", "maxsim", 32)
    directory.write_ranking(path, [ScoredDoc("q1", "b", 0.5), ScoredDoc("q1", "a", 0.5), ScoredDoc("q2", "a", 2.0)])
    rows = [line.split() for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    assert [row[:4] for row in rows] == [["q1", "Q0", "b", "1"], ["q1", "Q0", "a", "2"], ["q2", "Q0", "a", "1"]]
    assert path.relative_to(tmp_path).as_posix() == "rankings/pad/maxsim/L32.trec.gz"


def test_equal_rankings_are_equal_bytes_whenever_and_wherever_written(tmp_path, monkeypatch):
    run = [ScoredDoc("q", f"d{at}", 1 / (at + 1)) for at in range(50)]
    written = []
    for at, length in enumerate([32, 64, None]):
        monkeypatch.setattr(time, "time", lambda at=at: 1e9 + 1e6 * at)
        directory = RunDirectory(tmp_path / str(at))
        path = directory.ranking("pad", "maxsim", length)
        directory.write_ranking(path, run)
        written.append(path.read_bytes())
    assert len(set(written)) == 1 and len({path.name for path in tmp_path.rglob("*.trec.gz")}) == 3


MANIFEST = Manifest(
    command="eval",
    config={
        "pool": ["maxsim"],
        "dataset": "ж",
        "split": "test",
        "checkpoint": "c",
        "lengths": [32],
        "arms": ["pad"],
        "measures": ["R@1"],
        "depth": 10,
        "seed": 0,
        "evidence": None,
    },
    seeds={"seed": 0},
    git_revision=None,
    versions={"python": "3"},
    fingerprints={"dataset": "0f"},
    seconds={"score": 0.1},
    candidates={"source": "faiss", "depth": 10, "recall": 1 / 3},
    cells=[{"arm": "pad", "length": 32, "patches_max": 32, "fill": "distractor", "evidence": 32}],
    notes=["a <note>"],
)


def test_a_run_is_finished_from_its_manifest_until_it_restarts(tmp_path):
    directory = RunDirectory(tmp_path / "b")
    directory.start("eval", {"pool": ["maxsim"]}, maker="one")
    RunDirectory(tmp_path / "a").start("eval", {}, maker="one")
    assert not directory.finished
    directory.write_manifest(MANIFEST)
    assert directory.finished and directory.read_manifest() == MANIFEST
    assert json.loads((tmp_path / "b" / "manifest.json").read_bytes())["config"]["dataset"] == "ж"
    (tmp_path / "no-run").mkdir()
    assert [(run.path.name, run.finished) for run in runs(tmp_path)] == [("a", False), ("b", True)]
    directory.start("eval", {}, maker="one")
    assert not directory.finished and (tmp_path / "b" / "config.yaml").exists()
    assert runs(tmp_path / "absent") == []


@pytest.mark.parametrize("state, kept", [("same", True), ("other version", False), ("finished", False)])
def test_only_an_unfinished_run_of_the_same_version_keeps_its_rankings(tmp_path, state, kept):
    run = RunDirectory(tmp_path)
    run.start("eval", {}, maker="one")
    run.write_ranking(run.ranking("pad", "maxsim", 32), [ScoredDoc("q", "d", 1.0)])
    if state == "finished":
        run.write_manifest(MANIFEST)
    run.start("eval", {}, maker="two" if state == "other version" else "one")
    assert run.ranking("pad", "maxsim", 32).exists() == kept and not run.finished


@pytest.mark.parametrize("step", ["write", "rename"])
def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "folder" / "file.csv"
    write_atomically(path, b"old")

    def no(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync" if step == "write" else "replace", no)
    with pytest.raises(OSError):
        write_atomically(path, b"new content")
    monkeypatch.undo()
    assert [one.name for one in path.parent.iterdir()] == ["file.csv"] and path.read_bytes() == b"old"
    write_atomically(path, b"new content")
    assert path.read_bytes() == b"new content" and len(list(path.parent.iterdir())) == 1


@given(st.text(max_size=30))
@example("..")
@example("")
@example(".")
@example("a/../..")
@example("C:\\model")
def test_a_slug_is_one_part_of_a_path(name):
    made = slug(name)
    assert made and made not in (".", "..") and not set('/\\:*?"<>|\0\n ').intersection(made)
    assert len(Path(made).parts) == 1 and slug(made) == made


def test_a_slug_keeps_a_hub_ids_parts_and_a_folders_last(tmp_path):
    (tmp_path / "my model").mkdir()
    assert slug("org/model-v1.2") == "org--model-v1.2"
    assert slug(str(tmp_path / "my model")) == "my-model"
    assert slug("scifact") == "scifact"


KEYS = {"dataset": "scifact", "checkpoint": "minilm", "arm": "pad", "pool": "topk:4"}


def summary(**changes) -> pd.DataFrame:
    rows = [{**KEYS, "length": 32, "measure": "nDCG@10", "value": 1 / 3, "delta": 0.0, "retained": 1.0}]
    rows += [{**KEYS, "length": None, "measure": "R@1", "value": 1e-17, "delta": np.nan, "retained": np.nan}]
    return pd.DataFrame(rows).assign(**changes).astype({"length": "Int64"})


@pytest.mark.parametrize("dataset", ["scifact", "ж", "007", "1e5", "NA", "True"])
def test_a_summary_comes_back_whatever_the_dataset_is_called(tmp_path, dataset):
    table = summary(dataset=dataset, checkpoint=dataset)
    directory = RunDirectory(tmp_path)
    directory.write_table("summary.csv", table)
    pd.testing.assert_frame_equal(directory.read_table("summary.csv"), table, rtol=1e-14)


def test_tests_and_per_query_values_come_back(tmp_path):
    directory = RunDirectory(tmp_path)
    tests = pd.DataFrame([["R@1", "pad", 32, "value", "mean", "maxsim", 5, *[0.1] * 6, 3, 1, 1]], columns=TESTS)
    slope = tests.assign(length=None, statistic="slope", t=np.nan, p=1.0)
    tests = pd.concat([tests, slope], ignore_index=True).astype({"length": "Int64"})
    directory.write_table("tests.csv", tests)
    pd.testing.assert_frame_equal(directory.read_table("tests.csv"), tests, rtol=1e-14)
    values = summary(query_id=["007", "ж"], value=[1 / 3, np.nan])
    directory.write_table("per_query.parquet", values)
    pd.testing.assert_frame_equal(directory.read_table("per_query.parquet"), values, check_exact=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["per_query.parquet", "tests.csv"]


def test_a_table_of_no_rows_comes_back(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write_table("tests.csv", pd.DataFrame(columns=TESTS))
    back = directory.read_table("tests.csv")
    assert list(back.columns) == TESTS and back.empty


def test_a_missing_table_or_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"summary\.csv is missing"):
        RunDirectory(tmp_path).read_table("summary.csv")
    with pytest.raises(DataError, match="weights"):
        checksum(tmp_path / "weights")


def test_a_digest_names_content_not_order(tmp_path, monkeypatch):
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    others = [digest({"a": 1}), digest({"a": 2}), digest({"a": "1"}), digest({"a": 1}, None), digest([{"a": 1}])]
    assert len(set(others)) == 5 and all(len(one) == 16 for one in others)
    (tmp_path / "file").write_bytes(b"content")
    assert checksum(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()
    assert checksum(tmp_path / "file", "md5") == hashlib.md5(b"content").hexdigest()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
