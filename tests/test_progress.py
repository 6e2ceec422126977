"""Where output is no terminal, a long stage says from time to time how far it is."""

from __future__ import annotations

import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from harness.progress import Stage, Stages, duration


def wait_for(capsys, pattern: str) -> str:
    """What is written to standard error until the pattern is in it."""
    seen, end = "", time.monotonic() + 20
    while not re.search(pattern, seen):
        assert time.monotonic() < end, f"no {pattern!r} in {seen!r}"
        time.sleep(0.01)
        seen += capsys.readouterr().err
    return seen


def reporters() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_a_long_stage_says_what_is_done_how_fast_and_what_is_left(capsys):
    with Stages(interval=0.02)("encode documents", 5000, "documents") as advance:
        wait_for(capsys, r"encode documents +\d+\.\d s   0 of 5,000 documents\n")
        advance(1200)
        seen = wait_for(capsys, r"1,200 of 5,000 documents, ")
        assert re.search(r"1,200 of 5,000 documents, [\d,]+ documents/s, \d+ s left\n", seen)
        wait_for(capsys, r"1,200 of 5,000 documents\n")  # nothing since: no rate, and no promise
        advance(3800)
        assert "left" not in wait_for(capsys, r"5,000 of 5,000 documents, [\d,]+ documents/s\n").splitlines()[-1]
    assert not reporters()


def test_rate_and_time_left_are_those_of_the_last_interval(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("harness.progress.time", SimpleNamespace(perf_counter=lambda: now[0]))
    stage = Stage("score", 1000, "documents")
    for seconds, done, said in (
        (30.0, 900, "30.0 s   900 of 1,000 documents, 30 documents/s, 3 s left"),  # most were there
        (30.0, 915, "60.0 s   915 of 1,000 documents, 0.50 documents/s, 3 min left"),
        (30.0, 915, "90.0 s   915 of 1,000 documents"),
    ):
        now[0] += seconds
        stage.done = done
        assert stage.so_far().split(maxsplit=1)[1] == said


def test_a_stage_without_a_total_still_gives_a_sign(capsys):
    with Stages(interval=0.02)("candidates: train"):
        wait_for(capsys, r"candidates: train +\d+\.\d s   still running\n")
    with Stages(interval=0.02)("write html", None, "files") as advance:
        advance(3)
        wait_for(capsys, r"write html +\d+\.\d s   3 files so far")


def test_what_runs_side_by_side_is_named(capsys):
    with Stages(interval=0.02).rows("train", 20) as rows:
        rows.begin("maxsim-seed0")
        rows.begin("topk-seed0")
        rows.step("topk-seed0", 4, "loss 0.5")
        seen = wait_for(capsys, r"topk-seed0 +\d+\.\d s   4 of 20 steps")
        assert re.search(r"maxsim-seed0 +\d+\.\d s   0 of 20 steps\n", seen)
        rows.end("maxsim-seed0")
        rows.end("topk-seed0")
        assert "loss 0.5" in capsys.readouterr().err
    assert not reporters()


def test_a_short_stage_is_one_line(capsys):
    with Stages()("rank", 3, "cells") as advance:
        advance(3)
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("3 cells")


def test_a_silent_stage_and_one_on_a_terminal_start_nothing(capsys, monkeypatch):
    with Stages(show=False, interval=0.01)("rank", 3, "cells"):
        assert not reporters()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Stages(interval=0.01)("rank", 3, "cells"):
        assert not reporters()


def test_a_stage_that_fails_ends_its_reports(capsys):
    with pytest.raises(ZeroDivisionError), Stages(interval=0.01)("rank", 3, "cells"):
        assert reporters()
        raise ZeroDivisionError
    assert not reporters()


def test_reports_that_nobody_reads_stop_nothing(monkeypatch):
    class Closed:
        tries = 0

        def isatty(self):
            return False

        def write(self, text):
            Closed.tries += 1
            raise BrokenPipeError

    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    stages = Stages(interval=0.01)
    with stages.rows("train", 1) as rows, monkeypatch.context() as closed:
        rows.begin("one")
        closed.setattr(sys, "stderr", Closed())
        while Closed.tries < 3:
            time.sleep(0.01)
    assert not raised and not reporters()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (9000, "2.5 h")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
