"""Killed, out of disk or interrupted: a rerun loses a shard at most and ends in the same bytes."""

from __future__ import annotations

import collections
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from harness.engines import kept
from harness.engines.kept import Kept
from harness.engines.local import Local
from tests import surviving

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="trials are forks")


@pytest.fixture(scope="module")
def trial():
    """Run trials in forks of one process that has imported everything."""
    command = [sys.executable, "-m", "tests.surviving"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)

    def one(folder, **about):
        process.stdin.write(json.dumps({"folder": str(folder), **about}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield one
    process.stdin.close()
    process.wait()


@pytest.fixture(scope="module")
def whole(trial, tmp_path_factory):
    """(files of an undisturbed run, its seconds)."""
    folder = tmp_path_factory.mktemp("survival") / "whole"
    done = trial(folder)
    assert done["code"] == 0, done["said"]
    return results(folder), done["seconds"]


def results(folder):
    """Everything that a run and the cache hold in the end, but for what tells time and for names in the archive."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.name != "manifest.json" or "vectors" in path.parts
    }


def encoded(folder):
    log = folder / "log"
    return collections.Counter(log.read_text().split() if log.exists() else [])


@pytest.mark.parametrize("chain", range(5))
def test_killed_at_a_random_moment_it_loses_a_shard_at_most(trial, whole, tmp_path, chain):
    files, seconds = whole
    drawn, folder = random.Random(chain), tmp_path / "run"
    killed = [trial(folder, kill=seconds * drawn.uniform(0.05, 0.95))["code"] for _ in range(2)]
    assert trial(folder)["code"] == 0
    assert results(folder) == files
    again = encoded(folder).total() - len(encoded(folder))
    assert again <= surviving.SHARD * killed.count(-signal.SIGKILL)


@pytest.mark.parametrize("k", [1, 9, 30])
def test_a_full_disk_is_one_line_and_a_rerun_goes_on(trial, whole, tmp_path, k):
    files, _ = whole
    folder = tmp_path / "run"
    full = trial(folder, full=k)
    assert full["code"] == 1, full["said"]
    [line] = [line for line in full["said"].splitlines() if not line.startswith("  ")]
    assert line.startswith("harness: ") and "No space left on device" in line and "go on with: harness eval" in line
    left = results(folder)
    assert {name for name, content in left.items() if content != files.get(name)} <= {
        name for name in left if name.endswith(".started") or "/state/" in name
    }
    before = encoded(folder)
    assert trial(folder)["code"] == 0 and results(folder) == files
    assert encoded(folder).total() - len(encoded(folder)) <= surviving.SHARD and before.total() <= 36 + 24


@pytest.mark.parametrize("command", ["eval", "stress", "gradients"])
def test_ctrl_c_ends_soon_and_prints_what_goes_on(trial, tmp_path, command):
    folder = tmp_path / "run"
    ended = trial(folder, command=command, seconds=0.05, kill=1.5, signal=signal.SIGINT)
    assert ended["code"] == 130 and ended["after"] < 2, ended["said"]
    [line] = [line for line in ended["said"].splitlines() if not line.startswith("  ")]
    assert line.startswith("harness: interrupted; what is done is kept; go on with: harness " + command)
    assert "--checkpoint slow" in line
    shards = list((folder / "cache").rglob("*.safetensors"))
    assert shards and trial(folder, command=command)["code"] == 0
    assert max(encoded(folder).values()) <= 2 and encoded(folder).total() <= 36 + 24 + surviving.SHARD


@pytest.mark.parametrize("many", [False, True])
def test_an_engine_that_keeps_does_no_item_twice(tmp_path, monkeypatch, many):
    monkeypatch.setattr(kept, "EVERY", 0.0)
    done = []

    def work(item):
        done.append(item)
        if item == 7 and done.count(7) == 1:
            raise RuntimeError("power cut")
        value = np.full((2, item), item, np.float32)
        return (value, -value) if many else value

    def run():
        return dict(Kept(Local(2), tmp_path / "part")(work, range(10)))

    with pytest.raises(RuntimeError):
        run()
    before = list(done)
    [damaged, *_] = sorted((tmp_path / "part").iterdir())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    whole = run()
    assert set(whole) == set(range(10)) and len(done) - len(before) < 10
    for item, result in whole.items():
        for part, sign in zip(result if many else (result,), (1, -1), strict=False):
            assert part.dtype == np.float32 and part.shape == (2, item) and (part == sign * item).all()


def test_a_short_pass_writes_nothing(tmp_path):
    assert len(dict(Kept(Local(1), tmp_path / "part")(np.arange, range(5)))) == 5
    assert not (tmp_path / "part").exists()
