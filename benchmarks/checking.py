"""Ratios measured now against those committed: what regressed is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

MORE = 1.25  # times the committed ratio
ADDED = 0.05  # an added share may be so much larger: it is a difference of two times, and near nothing


def ratios(results: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Every ratio of the program itself, the less the better. Seconds depend on the machine and are no ratio."""
    for name, rows in results.get("scoring", {}).items():
        ours = {case: row["over_floor"] for case, row in rows.items() if case.startswith("harness")}
        yield from ((f"scoring, {name}: {case}, × floor", ratio) for case, ratio in ours.items())
    for name, row in results.get("encoding", {}).items():
        yield f"encoding: {name}, time ÷ sentence-transformers'", 1 / row["times_sentence_transformers"]


def check(made: dict[str, Any], held: dict[str, Any]) -> int:
    """Print every comparison; 1 if a ratio is beyond MORE times the committed one, or an added share beyond ADDED."""
    committed, failed = dict(ratios(held)), []
    print(f"\nagainst {held.get('machine', {}).get('processor', 'nothing')}, as committed")
    for name, value in ratios(made):
        if name in committed:
            change = value / committed[name]
            print(f"  {name:<72} {value:6.2f} against {committed[name]:6.2f}")
            failed += [name] if change > MORE else []
    for name, share in made.get("growth", {}).items():
        if name in held.get("growth", {}):
            print(f"  one more {name:<63} {share:+6.1%} against {held['growth'][name]:+6.1%}")
            failed += [f"one more {name}"] if share > held["growth"][name] + ADDED else []
    for name in failed:
        print(f"slower than committed: {name}")
    return int(bool(failed))
