"""``make bench``: measure, print, and write results.json and the chart beside this file; ``make bench-check`` compares.

python -m benchmarks [scoring growth encoding startup] [--rounds N] [--check]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import charts, encoding, scoring, startup, timing, work
from benchmarks.checking import check

RESULTS = Path(__file__).with_name("results.json")
PARTS = ("scoring", "growth", "encoding", "startup")


def measure(parts: list[str], rounds: int, peers: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"machine": timing.machine(), "rounds": rounds}
    if "scoring" in parts:
        made["scoring"] = {}
        for one in (work.uniform(), work.ragged()):
            made["scoring"][one.name] = rows = scoring.main(one, rounds, peers)
            print(f"\nscoring, {one.name} ({rows['floor']['gflops']:.0f} GFLOP/s)")
            for name, row in rows.items():
                print(f"  {name:<28} {row['seconds']:8.3f} s {row['over_floor']:8.2f} × floor", flush=True)
    if "growth" in parts:
        made["growth"] = scoring.growth(work.uniform(), rounds)
        print("\nwhat one more adds to the twelve cells")
        for name, share in made["growth"].items():
            print(f"  {name:<28} {share:+8.1%}", flush=True)
    if "encoding" in parts:
        made["encoding"] = encoding.main(rounds)
        print("\nencoding")
        for name, row in made["encoding"].items():
            print(f"  {name:<28} {row['tokens_per_second']:8,.0f} tokens/s {row['times_sentence_transformers']:6.2f} ×"
                  f" sentence-transformers {row['share_of_peak']:6.0%} of the float32 peak", flush=True)  # fmt: skip
    if "startup" in parts:
        made["startup"] = startup.main(rounds)
        print("\nstart-up")
        for name, seconds in made["startup"].items():
            print(f"  {name:<28} {seconds:8.2f} s", flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed, as ratios.")
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all if left out")
    parser.add_argument("--rounds", type=int, default=7, help="figures are medians of so many")
    parser.add_argument("--check", action="store_true", help="compare with results.json and fail beyond 25 %%")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    made = measure(given.parts or list(PARTS), given.rounds, peers=not given.check)
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if given.check:
        raise SystemExit(check(made, held))
    RESULTS.write_text(json.dumps({**held, **made}, indent=1) + "\n")
    charts.write({**held, **made}, RESULTS.parent)


if __name__ == "__main__":
    main()
