"""The main job end to end on the tiny corpus, against committed figures and against ir_measures."""

from __future__ import annotations

import gzip
from pathlib import Path

import ir_measures
import numpy as np
import pandas as pd
import pytest

import harness
from harness import corpora
from harness.commands import context
from harness.commands import eval as eval_command
from harness.commands.eval import EvalConfig
from harness.encoders import encoding
from harness.engines.local import Local
from harness.errors import DataError
from harness.options import read_config
from harness.runs import RunDirectory
from harness.scoring import tasks
from harness.vectors import store
from tests.conftest import TINY

GOLDEN = Path(__file__).parent / "data" / "golden.csv"
QUESTION = {"dataset": str(TINY), "pool": "maxsim,topk:4,softmax:0.1", "lengths": [8, 32, 128], "depth": 20}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return harness.evaluate(**QUESTION, output=tmp_path_factory.mktemp("runs"))


def test_figures_are_the_committed_ones(done):
    golden = pd.read_csv(GOLDEN, dtype={"length": "Int64"})
    keys = ["arm", "pool", "length", "measure"]
    pd.testing.assert_frame_equal(done.summary[keys], golden[keys], check_dtype=False)
    np.testing.assert_allclose(done.summary["value"], golden["value"], atol=1e-3)


def test_the_files_hold_what_was_returned(done):
    again = RunDirectory(done.path).result()
    for name in ("summary", "per_query", "tests"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(done, name), check_dtype=False, rtol=1e-12)
    assert again.manifest == done.manifest
    names = {path.name for path in done.path.iterdir()}
    tables = {"summary.csv", "per_query.parquet", "tests.csv", "texts.parquet"}
    assert names == {"config.yaml", "manifest.json", "rankings"} | tables


def test_trec_runs_reproduce_the_summary(done, tmp_path):
    dataset = corpora.load(str(TINY))
    for row in done.summary.itertuples():
        name = "full" if pd.isna(row.length) else f"L{row.length}"
        packed = done.path / "rankings" / row.arm / row.pool / f"{name}.trec.gz"
        plain = tmp_path / "run.trec"
        plain.write_bytes(gzip.decompress(packed.read_bytes()))
        run = ir_measures.read_trec_run(str(plain))
        measure = ir_measures.parse_measure(row.measure)
        value = ir_measures.calc_aggregate([measure], dataset.qrels, run)[measure]
        assert value == pytest.approx(row.value, abs=1e-6)


def test_the_arms_agree_at_the_shortest_length_to_the_last_digit(done):
    shortest = done.summary[done.summary["length"] == 8]
    values = shortest.pivot(index=["pool", "measure"], columns="arm", values="value")
    assert (values["truncate"] == values["pad"]).all()


def test_the_same_question_gives_the_same_bytes_whatever_the_threads_batches_shards_and_tasks(
    done, tmp_path, monkeypatch
):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))  # so that all is encoded again
    monkeypatch.setattr(context, "ENGINES", {"local": lambda: Local(threads=3)})
    monkeypatch.setattr(encoding, "TOKENS", 1)
    monkeypatch.setattr(store, "SHARD", 7)
    monkeypatch.setattr(tasks, "DOCUMENTS", 5)
    again = harness.evaluate(**QUESTION, output=tmp_path)
    assert again.manifest.fingerprints["documents"] != done.manifest.fingerprints["documents"]
    for path in sorted(done.path.rglob("*")):
        if path.suffix in {".csv", ".gz", ".yaml", ".parquet"}:
            assert (again.path / path.relative_to(done.path)).read_bytes() == path.read_bytes(), path.name


def test_a_killed_run_goes_on_where_it_was(done, tmp_path, monkeypatch):
    def stops_at_pad(*arguments):
        if arguments[3].name == "pad":
            raise KeyboardInterrupt
        return real(*arguments)

    real = eval_command.sweep
    monkeypatch.setattr(eval_command, "sweep", stops_at_pad)
    with pytest.raises(KeyboardInterrupt):
        harness.evaluate(**QUESTION, output=tmp_path)
    path = tmp_path / done.path.name
    assert not (path / "manifest.json").exists()
    kept = path / "rankings" / "truncate" / "maxsim" / "L32.trec.gz"
    written = kept.stat().st_mtime_ns
    monkeypatch.setattr(eval_command, "sweep", real)
    harness.evaluate(**QUESTION, output=tmp_path)
    assert kept.stat().st_mtime_ns == written
    assert (path / "summary.csv").read_bytes() == (done.path / "summary.csv").read_bytes()


def test_resume_shows_a_finished_run_without_scoring(done, monkeypatch):
    monkeypatch.setattr(eval_command, "sweep", None)
    again = harness.evaluate(**QUESTION, output=done.path.parent, resume=True)
    pd.testing.assert_frame_equal(again.summary, done.summary, check_dtype=False)


def test_the_run_repeats_from_its_own_config(done, tmp_path):
    again = harness.evaluate(**read_config(EvalConfig, done.path / "config.yaml"), output=tmp_path)
    assert again.path.name == done.path.name
    assert (again.path / "summary.csv").read_bytes() == (done.path / "summary.csv").read_bytes()


def test_the_manifest_says_what_was_scored(done):
    manifest = done.manifest
    cells = {(cell["arm"], cell["length"]): cell for cell in manifest.cells}
    assert set(cells) == {(arm, length) for arm in ("truncate", "pad") for length in (8, 32, 128)}
    assert cells["pad", 128]["patches_min"] == cells["pad", 128]["patches_max"] == 128
    assert cells["pad", 128]["filler_share"] == pytest.approx(120 / 128, abs=1e-3)
    assert cells["truncate", 128]["filler_share"] == 0 and cells["truncate", 128]["patches_max"] < 128
    assert manifest.candidates["source"] == "faiss Flat" and 0.9 < manifest.candidates["recall"] <= 1
    assert manifest.versions["torch"] and manifest.fingerprints["dataset"]


def test_other_data_under_the_same_name_is_another_run(done, tmp_path):
    import shutil

    changed = tmp_path / "tiny"
    shutil.copytree(TINY, changed)
    text = (changed / "corpus.jsonl").read_text().replace("wild yeast", "tame yeast")
    (changed / "corpus.jsonl").write_text(text)
    again = harness.evaluate(**{**QUESTION, "dataset": str(changed)}, output=tmp_path / "runs", arms="truncate")
    assert again.path.name != done.path.name
    assert again.manifest.fingerprints["dataset"] != done.manifest.fingerprints["dataset"]


@pytest.mark.parametrize("source", ["pooled", "bm25", "exact"])
def test_every_candidate_source_runs_and_ranked_ones_are_a_baseline_row(source, tmp_path):
    options = {"arms": "truncate", "lengths": [32], "pool": "maxsim", "measures": "nDCG@10"}
    got = harness.evaluate(dataset=str(TINY), candidates=source, **options, output=tmp_path)
    first = got.summary[got.summary["arm"] == "candidates"]
    assert list(first["pool"]) == ([] if source == "exact" else [source])
    assert (got.summary["value"] > 0.8).all()


def test_nothing_is_written_when_the_data_are_wrong(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "corpus.jsonl").write_text('{"_id": "a", "text": ""}\n{"_id"\n')
    with pytest.raises(DataError) as error:
        harness.evaluate(dataset=str(tmp_path / "bad"), output=tmp_path / "runs")
    assert "corpus.jsonl:2" in str(error.value) and "queries.jsonl" in str(error.value)
    assert not (tmp_path / "runs").exists()
