"""Two processes on one cache do the work once, and a lock does not outlive who held it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from harness import candidates
from harness.candidates import faiss_index
from harness.corpora.cards import Card
from harness.corpora.origins import archive
from harness.files import lock
from harness.vectors import store
from tests.candidates.test_candidates import ASKED, MANY, named, search
from tests.encoders import encoding
from tests.vectors.test_store import files

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks there")


def start(cache, log, seconds):
    command = [sys.executable, "-m", "tests.encoders.encoding", str(cache), str(log), str(seconds)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def until(condition, seconds=60.0):
    """Wait for something another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def lines(log):
    return log.read_text().splitlines() if log.exists() else []


def one_works_while_the_other_waits(cache, log):
    """Two processes: the first is stopped in its third shard, the second has said that it waits."""
    first = start(cache, log, 0.05)
    until(lambda: len(lines(log)) > 2 * encoding.SHARD)
    first.send_signal(signal.SIGSTOP)
    second = start(cache, log, 0.0)
    assert "waiting for another process that is encoding these documents" in second.stderr.readline()
    return first, second


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """What an undisturbed process leaves."""
    monkeypatch.setattr(store, "SHARD", encoding.SHARD)
    encoding.encode(tmp_path / "whole", tmp_path / "whole.log")
    return files(tmp_path / "whole")


def test_two_processes_encode_once(tmp_path, whole):
    cache, log = tmp_path / "cache", tmp_path / "log"
    both = one_works_while_the_other_waits(cache, log)
    both[0].send_signal(signal.SIGCONT)
    told = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(lines(log)) == sorted(item.text for item in encoding.ITEMS)
    assert files(cache) == whole and "waiting" not in told[0]


def test_who_waits_goes_on_where_a_killed_process_stopped(tmp_path, whole):
    cache, log = tmp_path / "cache", tmp_path / "log"
    first, second = one_works_while_the_other_waits(cache, log)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second.communicate(timeout=60)
    assert second.returncode == 0 and files(cache) == whole
    assert len(encoding.ITEMS) <= len(lines(log)) <= len(encoding.ITEMS) + encoding.SHARD


def test_a_lock_is_held_by_one_at_a_time_and_leaves_nothing(tmp_path):
    inside, most = 0, 0

    def one(_):
        nonlocal inside, most
        with lock(tmp_path / "thing", "making this"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.002)
            inside -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(60)))
    assert most == 1 and list(tmp_path.iterdir()) == []


def test_a_lock_that_a_dead_process_left_is_taken(tmp_path):
    code = (
        f"import os, pathlib; from harness.files import lock\n"
        f"with lock(pathlib.Path({str(tmp_path / 'thing')!r}), 'x'): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == [".thing.lock"]  # noqa: PTH208
    with lock(tmp_path / "thing", "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def in_two_threads(work):
    ready = threading.Barrier(2)

    def one(_):
        ready.wait()
        return work()

    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(one, range(2)))


def test_two_searches_build_one_index(tmp_path, monkeypatch):
    built, build = [], faiss_index._build

    def counted(*arguments):
        built.append(1)
        time.sleep(0.1)
        return build(*arguments)

    monkeypatch.setattr(faiss_index, "_build", counted)
    vectors, asked = named(MANY, "documents"), named(ASKED, "queries")
    one, other = in_two_threads(lambda: candidates.find("faiss", search(vectors, asked, tmp_path)).rows)
    assert built == [1]
    np.testing.assert_array_equal(one, other)


def test_two_downloads_are_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    asked = []

    def get(card, path):
        asked.append(card.name)
        time.sleep(0.1)
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr(f"{card.name}/corpus.jsonl", "{}")

    monkeypatch.setattr(archive, "_get", get)
    card = Card("some", "beir", url="https://x", md5="0")
    folders = in_two_threads(lambda: archive.download(card, "test")[0])
    assert asked == ["some"] and folders[0] == folders[1] and (folders[0] / "corpus.jsonl").exists()


def test_a_question_that_is_asked_twice_at_once_is_answered_once(tmp_path, monkeypatch, finished):
    import harness
    from harness.commands import eval as eval_command

    question = {**finished["eval"].manifest.config, "output": tmp_path}
    started, answer = [], eval_command.compute

    def counted(*arguments):
        started.append(1)
        time.sleep(0.3)
        return answer(*arguments)

    monkeypatch.setattr(eval_command, "compute", counted)
    one, other = in_two_threads(lambda: harness.evaluate(**question))
    assert started == [1] and one.path == other.path and one.summary.equals(other.summary)
    assert [path.name for path in tmp_path.iterdir()] == [one.path.name], "no lock is left"
    harness.evaluate(**question)
    assert started == [1], "asked again later its answer is shown again"
    harness.evaluate(**question, force=True)
    assert started == [1, 1], "by force it is answered again"
