"""The Ray engine on two workers: the local engine's bytes, whoever is killed; no vectors on the driver."""

from __future__ import annotations

import collections
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.aggregators import AGGREGATORS, Aggregator, aggregator
from harness.commands import context
from harness.encoders import NAMED
from harness.engines.ray import Ray
from harness.errors import DataError, OptionError
from harness.progress import Stages
from harness.scoring import tasks
from harness.scoring.sweep import sweep
from harness.vectors import store
from harness.vectors.arms import make_arm
from tests.conftest import TINY, all_candidates, documents, multivectors
from tests.engines.slow import Broken, Slow, note

ray = pytest.importorskip("ray", reason="the cluster engine needs the extra ray")
SHARD, TASK = 8, 3


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster of two workers, a node each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    node = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    made.add_node(num_cpus=1, object_store_memory=100 << 20)
    yield made.address
    ray.shutdown()
    made.shutdown()


class Killer(threading.Thread):
    """Kills the process that wrote the last line of a file, once that has so many."""

    def __init__(self, log: Path, lines: int):
        super().__init__(daemon=True)
        self.log, self.lines, self.killed = log, lines, 0
        self.start()

    def run(self):
        while not self.log.exists() or len(self.log.read_text().splitlines()) < self.lines:
            time.sleep(0.005)
        self.killed = int(self.log.read_text().splitlines()[-1].split()[0])
        os.kill(self.killed, signal.SIGKILL)


def noted(log):
    return [line.split() for line in log.read_text().splitlines()]


def results(folder):
    """Everything that the cache and the run hold in the end, but for what tells time."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent != folder]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.name != "manifest.json" or "vectors" in path.parts
    }


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Run a command on the tiny corpus, encoder and operator leaving logs: (the run, its files and the cache's)."""
    monkeypatch.setattr(store, "SHARD", SHARD)
    monkeypatch.setattr(tasks, "DOCUMENTS", TASK)
    home = tmp_path / "none"
    NAMED.register("slow")(lambda dtype, device: Slow(home / "encoded"))
    NAMED.register("broken")(lambda dtype, device: Broken(home / "encoded"))

    def one(command, folder, checkpoint="slow", **how):
        nonlocal home
        home = folder
        folder.mkdir()
        log = folder / "scored"
        monkeypatch.setenv("HARNESS_CACHE", str(folder / "cache"))

        class Peak(Aggregator):
            """Largest similarity, in torch only."""

            def reduce(self, sims):
                note(log, "run")
                return sims.amax(-1)

            def merge(self, own, other):
                return other.maximum(own)

            def finish(self, state):
                return state

        AGGREGATORS.forget("peak")
        aggregator("peak")(Peak)
        question = {"dataset": TINY, "checkpoint": checkpoint, "pool": "maxsim,topk:2,peak", "output": folder / "runs"}
        return command(**question | how), results(folder)

    yield one
    NAMED.forget("slow")
    NAMED.forget("broken")
    AGGREGATORS.forget("peak")


def test_killed_workers_change_no_byte(cluster, ask, tmp_path):
    """One is killed while it encodes, one while it scores."""
    how = {"lengths": [4, 8], "index": "IVF4,SQ8"}
    _, expected = ask(harness.evaluate, tmp_path / "local", **how)
    logs = [tmp_path / "ray" / name for name in ("encoded", "scored")]
    killers = [Killer(log, lines) for log, lines in zip(logs, (SHARD + 4, 9), strict=True)]
    run, found = ask(harness.evaluate, tmp_path / "ray", engine="ray", address=cluster, **how)
    assert found == expected and run.manifest.host["engine"] == "ray"
    for killer, log in zip(killers, logs, strict=True):
        assert killer.killed and killer.killed != os.getpid()
        workers = {int(pid) for pid, _ in noted(log)}
        assert len(workers) >= 3 and os.getpid() not in workers, "two, and one in the place of the killed"
    times = collections.Counter(name for _, name in noted(logs[0]))
    assert len(times) == 36 + 24 and 1 <= times.total() - len(times) <= SHARD, "the killed worker's shard, and it alone"


def test_an_attack_is_the_local_one(cluster, ask, tmp_path):
    how = {"counts": [0, 5], "candidates": "pooled", "inject": "hard", "pool": "maxsim,mean"}
    expected, found = (
        ask(harness.stress, tmp_path / name, **engine, **how)[1]
        for name, engine in (("local", {}), ("ray", {"engine": "ray", "address": cluster}))
    )
    assert found == expected


def mapped(folder):
    """Bytes of a folder's files that are in this process's memory."""
    held = 0
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        if str(folder) in block.splitlines()[0]:
            held += 1024 * int(re.search(r"Rss:\s+(\d+)", block)[1])
    return held


class Given:
    """Vectors that are there."""

    fingerprint = "given"

    def __init__(self, vectors):
        self.vectors = vectors

    def recipe(self, role):
        return {}

    def encode(self, items, role):
        yield [(at, self.vectors.of(int(item.id))) for at, item in enumerate(items)]


def test_the_driver_holds_no_vectors(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SHARD", 50)
    vectors, queries = multivectors([200] * 200, dim=128), multivectors([4] * 5, dim=128, seed=1, prefix="q")
    held = store.fetch(Given(vectors), documents(["text"] * 200), "document", Stages(show=False), tmp_path)
    assert len(pickle.dumps(held)) < 0.01 * vectors.vectors.nbytes
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(held)).vectors[:], vectors.vectors)
    question = queries, all_candidates(queries, held), make_arm("pad", [8, 64], None, "zero", 0), [8, 64]
    made = [AGGREGATORS.make("maxsim"), AGGREGATORS.make("topk:4")]
    linux = sys.platform == "linux"
    views = [shard.vectors for shard in held.vectors.shards]
    assert sum(map(np.sum, views)) and (not linux or mapped(tmp_path) > 0.5 * vectors.vectors.nbytes), "seen if it were"
    del views
    got = sweep(held, *question, made, engine=Ray(cluster))
    np.testing.assert_array_equal(got.values, sweep(vectors, *question, made).values)
    assert not linux or mapped(tmp_path) < 0.1 * vectors.vectors.nbytes


def test_what_a_worker_finds_wrong_is_one_line(cluster, ask, tmp_path):
    with pytest.raises(DataError, match="NaN or infinite") as caught:
        ask(harness.evaluate, tmp_path / "ray", "broken", engine="ray", address=cluster)
    assert len(caught.value.problems) == 1


def test_a_folder_that_the_workers_do_not_see_is_one_line(cluster, tmp_path):
    with pytest.raises(DataError, match="same paths"):
        list(Ray(cluster)(os.stat, [tmp_path / "nowhere"]))


@pytest.mark.parametrize(
    ("command", "how", "words"),
    [
        (harness.evaluate, {"engine": "local", "address": "10.0.0.1:6379"}, "give --engine ray"),
        (harness.evaluate, {"engine": "ray", "device": "cuda"}, "--device cuda"),
        (harness.synth, {"engine": "ray"}, "leave --engine ray out"),
    ],
)
def test_what_ray_is_not_for_is_one_line(command, how, words, tmp_path, monkeypatch):
    monkeypatch.setattr(context, "pick_device", lambda asked: asked)  # as if there were a GPU
    with pytest.raises(OptionError, match=words) as caught:
        command(output=tmp_path, **how)
    assert len(caught.value.problems) == 1 and list(tmp_path.iterdir()) == []


ALONE = """
import sys
from harness import cli
sys.argv = ["harness", "eval", "--dataset", sys.argv[1], "--engine", "ray", *sys.argv[2:]]
cli.main()
"""


def alone(*arguments, **environment):
    """A process of its own, of a group of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, str(TINY), *arguments],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("address", "words"), [("127.0.0.1:1", "ray start --head"), ("somewhere", "no host:port"), ("a:99999", "answers")]
)
def test_a_cluster_that_cannot_be_reached_is_one_line(address, words, tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(OptionError, match=words) as caught:
        harness.evaluate(dataset=TINY, engine="ray", address=address, output=tmp_path)
    assert len(caught.value.problems) == 1


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'late-interaction-harness\[ray\]'"):
        harness.evaluate(dataset=TINY, engine="ray", output=tmp_path)


def test_ctrl_c_ends_the_local_cluster_too(tmp_path):
    psutil = pytest.importorskip("psutil")
    process = alone("--output", str(tmp_path), HARNESS_CACHE=str(tmp_path / "cache"))
    lines = iter(process.stderr.readline, "")
    said = [next(lines) for _ in range(2)]  # the dataset and the checkpoint are loaded; now it encodes
    while not (family := psutil.Process(process.pid).children(recursive=True)):
        time.sleep(0.1)
    time.sleep(1)
    family = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    said += process.stderr.read().splitlines(keepends=True)
    assert process.wait() == 130 and time.monotonic() - began < 10
    [line] = [line for line in said if not line.startswith("  ")]
    assert line.startswith("harness: interrupted; what is done is kept; go on with: harness eval")
    _, alive = psutil.wait_procs(family, timeout=60)
    assert family and not alive
