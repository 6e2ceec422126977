"""The fuzzing finds what it should, and a small dose of it is survived."""

from __future__ import annotations

import os
import pickle
import subprocess
import tempfile
import time

import pytest

from fuzzing.__main__ import SHARES
from fuzzing.hunting import Tally, hunt, keep, smaller
from fuzzing.judging import TARGETS, Place, Target, judge
from fuzzing.watching import Watch
from harness.errors import HarnessError

SLOW = ("runs", "comparisons", "pages-of-runs", "charts-of-runs", "sound-runs")
QUICK = [name for name in SHARES if name not in SLOW]


@pytest.fixture
def place(tmp_path, monkeypatch):
    made = Place(tmp_path / "place")
    (made.root / "here").mkdir(parents=True)
    monkeypatch.chdir(made.root / "here")
    monkeypatch.setenv("HARNESS_CACHE", str(made.root / "cache"))
    monkeypatch.setenv("HARNESS_DATASETS", str(made.given))
    monkeypatch.setattr(tempfile, "tempdir", str(made.root / "temporary"))
    return made


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.filterwarnings("ignore")
def test_some_hostile_inputs_of_every_quick_target_are_read_or_refused(place, name):
    tally = hunt(name, range(40 if name in ("cards", "pages") else 100), 1, place)
    assert tally.findings == {} and tally.results["refused"] > 10 and tally.results["finding"] == 0


def test_what_is_found_is_made_small_and_kept(place, tmp_path):
    def crashes(place):
        if b"evil" in (place.given / "text").read_bytes():
            raise KeyError("x")

    target = Target(lambda _: [], crashes, listed=True)
    files = {"text": b"good " * 100 + b"evil " + b"good " * 100, "other": b"x"}
    verdict = judge(target, files, place)
    smallest, last = smaller(target, files, {"text": b"good", "other": b""}, verdict, place)
    assert smallest == {"text": b"evil", "other": b""} and last.sign == verdict.sign
    [folder] = keep(Tally("toy", findings={verdict.sign: (smallest, last.text)}), tmp_path / "found")
    assert (folder / "input" / "text").read_bytes() == b"evil" and "KeyError" in (folder / "finding.txt").read_text()


def misbehaving(place):
    """Does what its input says."""
    text = (place.given / "do").read_text()
    if text == "write":
        (place.root / "outside").write_text("x")
    elif text == "rename":
        (place.output / "x").write_text("x")
        (place.output / "x").replace(place.root / "outside")
    elif text == "link":
        (place.output / "out").symlink_to(place.root)
        (place.output / "out" / "outside").write_text("x")
    elif text == "pickle":
        pickle.loads(b"cos\nsystem\n(S'true'\ntR.")
    elif text == "run":
        subprocess.run(["true"])
    elif text == "crash":
        raise KeyError("x")
    elif text == "slow":
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
    elif text == "hang":
        time.sleep(20)
    elif text == "say":
        error = HarnessError("x")
        error.problems = ("red \x1b[31m",)
        raise error
    elif text == "refuse":
        raise HarnessError("no")
    elif text == "mine":
        (place.output / "deep").mkdir()
        (place.output / "deep" / "x").write_text("x")


WRONG = {
    "write": "did open",
    "rename": "did os.rename",
    "link": "did open",
    "pickle": "did pickle.find_class",
    "run": "did subprocess.Popen",
    "crash": "KeyError",
    "slow": "slow",
    "hang": "slow",
    "say": "unreadable",
}


@pytest.mark.parametrize("what", [*WRONG, "refuse", "mine"])
def test_the_judge_sees_what_is_wrong_and_only_that(tmp_path, monkeypatch, what):
    monkeypatch.setattr("fuzzing.judging.SECONDS", 0.1)
    monkeypatch.setattr("fuzzing.judging.HANGS", 0.3)
    place = Place(tmp_path)
    verdict = judge(Target(lambda _: [], misbehaving), {"do": what.encode()}, place)
    if what in WRONG:
        assert verdict.result == "finding" and verdict.sign.startswith(WRONG[what]), verdict
    else:
        assert verdict.result == {"refuse": "refused", "mine": "accepted"}[what], verdict


def test_a_watch_that_is_over_sees_nothing(tmp_path):
    with Watch([tmp_path / "in"]) as watch:
        os.mkdir(tmp_path / "one")  # noqa: PTH102
    os.mkdir(tmp_path / "two")  # noqa: PTH102
    assert [line.split("/")[-1] for line in watch.found] == ["one"]


def test_every_target_has_its_share():
    assert sorted(SHARES) == sorted(TARGETS)
