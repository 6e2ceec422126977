"""Ratios measured now against those committed: what regressed is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.results import figures, origin

MORE = 1.25  # times the committed ratio
ADDED = 0.05  # an added share may be so much larger: it is a difference of two times, and near nothing
OURS = "harness"  # what the program's own cases begin with


def ratios(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Every ratio of the program to something else, the less the better. Seconds depend on the machine, and a peer's
    ratio is none of the program's."""
    for name, rows in figures(results, "scoring").items():
        ours = {case: row["over_floor"] for case, row in rows.items() if case.startswith(OURS)}
        yield from ((f"scoring, {name}: {case}, × floor", ratio) for case, ratio in ours.items())
    for name, row in figures(results, "encoding").items():
        if name.startswith(OURS):
            yield f"encoding: {name}, time ÷ sentence-transformers'", 1 / row["times_sentence_transformers"]


def comparable(made: dict[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """The committed parts that were measured with the instructions of this processor; of every other, says why not."""
    found = {}
    for part in made.keys() & held.keys():
        here, there = (set(one[part]["machine"]["instructions"]) for one in (made, held))
        if here == there:
            found[part] = held[part]
            print(f"\n{part}: against {origin(held[part])}")
        else:
            print(
                f"\n{part}: not compared, for one processor has {', '.join(sorted(here ^ there))} and the other has"
                f" not; committed: {origin(held[part])}"
            )
    return found


def check(made: dict[str, Any], held: dict[str, Any]) -> int:
    """Print every comparison; 1 if a ratio is beyond MORE times the committed one, or an added share beyond ADDED, or
    if there was nothing to compare."""
    held = comparable(made, held)
    committed, shares, failed, compared = dict(ratios(held)), figures(held, "growth"), [], 0
    for name, value in ratios(made):
        if name in committed:
            print(f"  {name:<72} {value:6.2f} against {committed[name]:6.2f}")
            failed += [name] if value > MORE * committed[name] else []
            compared += 1
    for name, share in figures(made, "growth").items():
        if name in shares:
            print(f"  one more {name:<63} {share:+6.1%} against {shares[name]:+6.1%}")
            failed += [f"one more {name}"] if share > shares[name] + ADDED else []
            compared += 1
    for name in failed:
        print(f"slower than committed: {name}")
    if not compared:
        print("nothing was compared: measure an earlier revision on this machine first, without --check")
    return int(bool(failed) or not compared)
