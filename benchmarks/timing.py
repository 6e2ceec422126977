"""Times of several things, taken in turn in one process, so that what else the machine does falls on all of them."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.work import cores

SIDE, TIMES = 2048, 4  # of the square product that measures the peak


def alternate(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each, all run once beforehand, then in turn."""
    return {name: statistics.median(taken) for name, taken in rounds_of(cases, rounds).items()}


def rounds_of(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round: forwards, then backwards, so that no case always follows the same one."""
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        for name, case in list(cases.items())[:: 1 if number % 2 == 0 else -1]:
            start = time.perf_counter()
            case()
            times[name].append(time.perf_counter() - start)
    return times


def square() -> Callable[[], None]:
    """A large float32 product on all cores, whose rate is the machine's peak."""
    one, other, out = (np.ones((SIDE, SIDE), np.float32) for _ in range(3))

    def multiply() -> None:
        for _ in range(TIMES):
            np.matmul(one, other, out=out)

    return multiply


def peak(seconds: float) -> float:
    """Operations a second, from what square() took."""
    return TIMES * 2 * SIDE**3 / seconds


def machine() -> dict[str, object]:
    """The processor, as the system names it, and the cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    kept = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return {
        "processor": (names or [platform.processor()])[0],
        "instructions": kept,
        "cores": cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
