"""Datasets of a hub, through its own client, from a hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from harness import corpora
from harness.corpora.origins import hub as origin
from tests.corpora import layouts
from tests.corpora.hub import Hub, serving
from tests.corpora.layouts import BREAD, Texts

SCRIPT = """
import json, sys
from harness import corpora
from harness.errors import HarnessError
try:
    card = corpora.check(sys.argv[1])
    found = corpora.load(sys.argv[1], *sys.argv[2:])
    about = {"documents": [one.id for one in found.documents], "queries": [one.id for one in found.queries],
             "qrels": len(found.qrels), "notes": found.notes, "print": found.fingerprint, "splits": list(card.splits)}
    print(json.dumps(about))
except HarnessError as error:
    print(json.dumps({"error": str(error)}))
"""


@pytest.fixture
def hub():
    with serving() as found:
        yield found


class User:
    """A machine with a cache of its own that asks one hub."""

    def __init__(self, folder: Path, hub: Hub):
        self.folder, self.hub = folder, hub

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        mine = {
            "HF_ENDPOINT": self.hub.address,
            "HF_HOME": str(self.folder / "hf"),
            "HF_HUB_OFFLINE": "0",
            "HARNESS_CACHE": str(self.folder / "cache"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **mine, **environment},
        )

    def load(self, *arguments: str, **environment: str) -> dict:
        said, trouble = self.start("-c", SCRIPT, *arguments, **environment).communicate(timeout=120)
        assert said, trouble
        return json.loads(said.splitlines()[-1])


@pytest.fixture
def user(tmp_path, hub):
    return User(tmp_path / "user", hub)


IDS = [name for name, _, _ in BREAD.documents]


def test_a_dataset_is_read_with_its_commit_and_then_without_the_network(tmp_path, hub, user):
    layouts.nanobeir(tmp_path / "repo", BREAD)
    for name in ("README.md", "unneeded/large.bin", ".gitattributes"):
        (tmp_path / "repo" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "repo" / name).write_text("x")
    commit = hub.add("owner/bread", tmp_path / "repo")
    first = user.load("owner/bread")
    assert (
        first["documents"] == IDS
        and first["qrels"] == 4
        and f"read from the hub: owner/bread@{commit}" in first["notes"]
    )
    files = {path.rpartition("/")[2] for kind, path, _ in hub.asked if "/resolve/" in path or "/store/" in path}
    assert files == {"train-00000-of-00001.parquet"}  # what the layout reads, and nothing else
    before = len(hub.asked)
    assert user.load("owner/bread") == first == user.load("owner/bread", HF_HUB_OFFLINE="1")
    assert len(hub.asked) == before


def test_a_revision_is_another_dataset_and_the_first_answer_stays(tmp_path, hub, user):
    layouts.beir(tmp_path / "old", BREAD)
    hub.add("owner/bread", tmp_path / "old", "v1")
    first = user.load("owner/bread")
    layouts.beir(tmp_path / "new", Texts(BREAD.documents[:3], BREAD.queries, BREAD.judged))
    newer = hub.add("owner/bread", tmp_path / "new", "v2")
    assert user.load("owner/bread") == first
    second = user.load("owner/bread@v2")
    assert second["documents"] == IDS[:3] and second["print"] != first["print"]
    assert user.load(f"owner/bread@{newer}")["documents"] == IDS[:3]
    assert "no such revision; leave @revision out" in user.load("owner/bread@v3")["error"]


def test_a_cut_connection_goes_on_where_it_broke(tmp_path, hub, user):
    layouts.beir(
        tmp_path / "repo", Texts([("d1", "", "word " * 5_000_000), *BREAD.documents[1:]], BREAD.queries, BREAD.judged)
    )
    hub.add("owner/bread", tmp_path / "repo")
    hub.cut["corpus.jsonl"], hub.busy = 22_000_000, 2
    found = user.load("owner/bread")
    assert found.get("documents") == IDS, found
    ranges = [asked for _, path, asked in hub.asked if path.startswith("/store/") and path.endswith("corpus.jsonl")]
    assert ranges[-1].startswith("bytes=") and int(ranges[-1][6:-1]) >= 9_000_000


def test_a_process_that_is_killed_goes_on_where_it_was(tmp_path, hub, user):
    layouts.beir(
        tmp_path / "repo", Texts([("d1", "", "word " * 5_000_000), *BREAD.documents[1:]], BREAD.queries, BREAD.judged)
    )
    hub.add("owner/bread", tmp_path / "repo")
    hub.stall["corpus.jsonl"] = 22_000_000
    process = user.start("-c", SCRIPT, "owner/bread")
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in user.folder.rglob("*.incomplete")) < 9_000_000:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    hub.stall.clear()
    assert user.load("owner/bread")["documents"] == IDS
    ranges = [asked for _, path, asked in hub.asked if path.startswith("/store/") and path.endswith("corpus.jsonl")]
    if version("huggingface_hub") < "2":  # from 2 on, it begins a file again that another process left unfinished
        assert any(asked.startswith("bytes=") and int(asked[6:-1]) >= 9_000_000 for asked in ranges)
    whole = [path for method, path, _ in hub.asked if method == "GET" and path.endswith((".tsv", "queries.jsonl"))]
    assert len(whole) == len(set(whole)) >= 2  # what was there was not fetched again


def test_companions_folders_splits_and_links(tmp_path, hub, user):
    layouts.beir_of_the_hub(tmp_path / "toy", BREAD)
    hub.add("BeIR/toy", tmp_path / "toy")
    hub.add("BeIR/toy-qrels", tmp_path / "toy-qrels")
    assert user.load("BeIR/toy")["qrels"] == 4
    for name in ("needle", "passkey"):
        layouts.longembed(tmp_path / "long" / name, BREAD)
    hub.add("dwzhu/Long", tmp_path / "long")
    assert (
        "it is 2 datasets: needle, passkey; give one of them, such as dwzhu/Long/needle"
        in user.load("dwzhu/Long")["error"]
    )
    assert user.load("dwzhu/Long/needle")["documents"] == IDS
    assert "has no folder 'nothing'" in user.load("dwzhu/Long/nothing")["error"]
    layouts.mldr(tmp_path / "mldr", BREAD)
    hub.add("owner/mldr", tmp_path / "mldr")
    assert user.load("owner/mldr")["splits"] == ["test", "dev"] and user.load("owner/mldr")["queries"] == [
        "q1",
        "q2",
        "q3",
    ]


def test_a_card_without_the_splits_of_its_repository_is_told_them(tmp_path, hub, user):
    layouts.nanobeir(tmp_path / "repo", BREAD)
    hub.add("owner/bread", tmp_path / "repo")
    (tmp_path / "cards").mkdir()
    place = {"HARNESS_DATASETS": str(tmp_path / "cards")}
    (tmp_path / "cards" / "bread.yaml").write_text("source: hub\nhub: owner/bread\n")
    assert "has no split 'test', but train; write 'splits: [train]'" in user.load("bread", **place)["error"]
    (tmp_path / "cards" / "bread.yaml").write_text("source: hub\nhub: owner/bread\nsplits: [train]\n")
    assert user.load("bread", **place)["documents"] == IDS


def test_what_cannot_be_had_is_one_line_with_the_next_step(tmp_path, hub, user):
    layouts.beir(tmp_path / "repo", BREAD)
    for name in ("owner/private", "owner/gated"):
        hub.add(name, tmp_path / "repo")
    hub.private.add("owner/private")
    hub.gated.add("owner/gated")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    hub.add("owner/empty", tmp_path / "empty")
    wanted = {
        "owner/none": "no such dataset, or it is private",
        "owner/private": "or log in",
        "owner/gated": "grants access",
        "owner/empty": "no layout that is read (see datasets/README.md); it has notes.txt",
    }
    for name, words in wanted.items():
        error = user.load(name)["error"]
        assert words in error and "\n" not in error, error
    assert user.load("owner/private", HF_TOKEN="hf_token")["documents"] == IDS
    assert "the network is off" in user.load("owner/other", HF_HUB_OFFLINE="1")["error"]
    hub.busy = 99
    assert "could not be fetched from the hub" in user.load("owner/more")["error"]


def test_a_card_of_every_benchmark_reads_its_revision(tmp_path, hub, user):
    """Each as its repository is laid out, and only at the revision that the card names."""
    cards = corpora.datasets()
    for name, rows in {
        "corpus": [{"doc_id": f"d{size}", "text": f"text {size}", "context_length": size} for size in (256, 512)],
        "queries": [{"qid": f"q{size}", "text": "which", "context_length": size} for size in (256, 512)],
        "qrels": [{"qid": f"q{size}", "doc_id": f"d{size}"} for size in (256, 512)],
    }.items():
        layouts.jsonl(tmp_path / "long" / "needle" / f"{name}.jsonl", rows)
    layouts.mldr(tmp_path / "mldr" / "mldr-v1.0-en", BREAD)
    wanted = {"longembed-needle-512": ["d512"], "mldr-en": IDS, "limit": IDS, "nanobeir-scifact": IDS}
    wanted |= {"bright": IDS, "bright-long": ["long"]}
    places = {"longembed-needle-512": "long", "mldr-en": "mldr", "bright": "bright", "bright-long": "bright"}
    layouts.bright(tmp_path / "bright", BREAD)
    layouts.limit(tmp_path / "limit", BREAD)
    layouts.nanobeir(tmp_path / "nanobeir-scifact", BREAD)
    for name in wanted:
        hub.add(str(cards[name].hub), tmp_path / places.get(name, name), cards[name].revision or "main")
        if cards[name].revision:
            hub.repos[str(cards[name].hub)].pop("main")
    for name, ids in wanted.items():
        found = user.load(name)
        assert found.get("documents") == ids, (name, found)
        assert found["splits"] == list(cards[name].splits)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b", ".hidden", "c\\d"])
def test_a_file_never_leaves_its_folder(name):
    assert not origin._safe(name) and origin._safe("data/test-0.parquet")


def test_eval_runs_end_to_end(tmp_path, hub, user):
    layouts.nanobeir(tmp_path / "repo", BREAD)
    hub.add("owner/bread", tmp_path / "repo")
    line = ["-m", "harness.cli", "eval", "--dataset", "owner/bread", "--pool", "maxsim", "--lengths", "16"]
    line += ["--arms", "truncate", "--candidates", "exact", "--output", str(tmp_path / "runs")]
    process = user.start(*line)
    said, trouble = process.communicate(timeout=180)
    assert process.returncode == 0, trouble
    assert "owner/bread, split" in said and next((tmp_path / "runs").glob("eval-owner--bread-*/summary.csv")).exists()
