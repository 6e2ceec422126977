"""A range of inputs of one target: drawn, judged, counted; of each cause the smallest input is kept."""

from __future__ import annotations

import functools
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzzing import targets  # noqa: F401  (which registers them)
from fuzzing.judging import TARGETS, Place, Target, Verdict, enter, judge
from fuzzing.mutating import Files, mutated

_here: Place  # of this process
TRIES, PATIENCE = 150, 10.0  # of making an input smaller: how often, seconds


@dataclass
class Tally:
    """What came of some inputs. slowest: seconds; findings: by cause the smallest files and all that is known."""

    target: str
    results: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    slowest: float = 0.0
    findings: dict[str, tuple[Files, str]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.results += other.results
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.findings = other.findings | self.findings


@functools.cache
def sound(name: str, place: Place) -> list[Files]:
    """The target's sound inputs; every one of them must be accepted, or the fuzzing would try nothing."""
    found = TARGETS[name].sound(place)
    judge(TARGETS[name], found[0], place)  # imports and compilation are not an input's time
    for files in found:
        verdict = judge(TARGETS[name], files, place)
        assert verdict.result == "accepted", f"{name}: a sound input is {verdict.result}: {verdict.text}"
    return found


def begin(root: str) -> None:
    """Make this process one that works off inputs, in a folder of its own."""
    global _here
    _here = enter(Path(root) / str(os.getpid()))


def work_off(work: tuple[str, range, int]) -> Tally:
    name, numbers, seed = work
    return hunt(name, numbers, seed, _here)


def hunt(name: str, numbers: range, seed: int, place: Place) -> Tally:
    """Judge the target's inputs of these numbers; an input is a function of its number and the seed."""
    target, tally = TARGETS[name], Tally(name)
    sets, start = sound(name, place), time.perf_counter()
    for number in numbers:
        draw = random.Random(f"{seed} {name} {number}")
        start_from = draw.choice(sets)
        files = mutated(start_from, draw, target.listed)
        (place.root / "now").write_text(f"{name} {number}")  # a crash would not say
        verdict = judge(target, files, place)
        tally.results[verdict.result] += 1
        tally.slowest = max(tally.slowest, verdict.seconds)
        if verdict.result == "finding" and verdict.sign not in tally.findings:
            smallest, last = smaller(target, files, start_from, verdict, place)
            tally.findings[verdict.sign] = smallest, f"{name} {number} (seed {seed}): {verdict.sign}\n{last.text}"
    tally.seconds = time.perf_counter() - start
    return tally


def smaller(target: Target, files: Files, sound: Files, verdict: Verdict, place: Place) -> tuple[Files, Verdict]:
    """The smallest input found that fails for the same cause: files put back first, then bytes left out."""
    tries, begin = 0, time.perf_counter()

    def fails(these: Files) -> Verdict | None:
        nonlocal tries
        tries += 1
        if tries > TRIES or time.perf_counter() - begin > PATIENCE:
            return None
        found = judge(target, these, place)
        return found if found.sign == verdict.sign else None

    for name in sorted({*files, *sound}):
        back = {key: value for key, value in files.items() if key != name}
        back |= {name: sound[name]} if name in sound else {}
        if back != files and (found := fails(back)):
            files, verdict = back, found
    for name, content in list(files.items()):
        if not isinstance(content, bytes) or content == sound.get(name):
            continue
        size = len(content) // 2
        while size and tries <= TRIES:
            for start in range(0, len(content), size):
                shorter = content[:start] + content[start + size :]
                if found := fails({**files, name: shorter}):
                    files, verdict, content = {**files, name: shorter}, found, shorter
                    break
            else:
                size //= 2
    return files, verdict


def keep(tally: Tally, folder: Path) -> list[Path]:
    """Write the findings: a folder each with the input and what was said of it."""
    written = []
    for number, (files, text) in enumerate(tally.findings.values()):
        place = folder / f"{tally.target}-{number}"
        for name, content in files.items():
            path = place / "input" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else f"link to {content.target}".encode())
        (place / "finding.txt").parent.mkdir(parents=True, exist_ok=True)
        (place / "finding.txt").write_text(text, errors="backslashreplace")
        written.append(place)
    return written
