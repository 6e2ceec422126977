"""``make bench``: measure, print, and write results.json and the charts beside this file, one part at a time;
``make bench-check`` compares with what is there, and ``make readme`` renders the page.

python -m benchmarks [scoring growth encoding startup corpus planned gpu] [--rounds N] [--check]
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from benchmarks import charts, corpus_growth, encoding, gpu, planned, scoring, startup, work
from benchmarks.checking import check
from benchmarks.results import RESULTS, keep, read, recorded

ONCE = ("corpus", "planned")  # parts that are measured once, however many rounds were asked for


def measure_scoring(rounds: int, peers: bool) -> dict[str, Any]:
    made = {}
    for one, against in ((work.uniform(), peers), (work.ragged(), False)):
        made[one.name] = rows = scoring.main(one, rounds, against)
        print(f"\nscoring, {one.name} ({rows['floor']['gflops']:.0f} GFLOP/s)")
        show(rows)
    return made


def measure_growth(rounds: int, _: bool) -> dict[str, float]:
    print("\nwhat one more adds to the twelve cells")
    made = scoring.growth(work.uniform(), rounds)
    for name, share in made.items():
        print(f"  {name:<28} {share:+8.1%}", flush=True)
    return made


def measure_encoding(rounds: int, _: bool) -> dict[str, Any]:
    print("\nencoding")
    made = encoding.main(rounds)
    plain = made[encoding.PLAIN]["tokens_per_second"]
    for name, row in made.items():
        print(
            f"  {name:<32} {row['tokens_per_second']:8,.0f} tokens/s {row['times_sentence_transformers']:6.2f} ×"
            f" sentence-transformers {row['tokens_per_second'] / plain:6.2f} × plain"
            f" {row['share_of_peak']:6.0%} of the float32 peak",
            flush=True,
        )
    return made


def measure_startup(rounds: int, _: bool) -> dict[str, float]:
    print("\nstart-up")
    made = startup.main(rounds)
    for name, seconds in made.items():
        print(f"  {name:<28} {seconds:8.2f} s", flush=True)
    return made


def measure_corpus(*_: Any) -> dict[str, Any]:
    print("\nhow time and memory grow with the corpus")
    made = corpus_growth.main()
    for name, row in made["exponents"].items():
        print(
            f"  {name:<24} time ∝ documents^{row['seconds']:.2f}, memory ∝ documents^{row['peak']:.2f}:"
            f" {row['bytes_per_document']:,.0f} bytes a document",
            flush=True,
        )
    return made


def measure_planned(*_: Any) -> dict[str, Any]:
    print("\nwhat a plan predicts, and what the run takes")
    return planned.main()


def measure_gpu(rounds: int, _: bool) -> dict[str, Any]:
    if not torch.cuda.is_available():
        print("\nno GPU here: its part is left out")
        return {}
    print(f"\nscoring on {torch.cuda.get_device_name()}")
    made = gpu.main(work.uniform(), rounds)
    show(made)
    return {"device": torch.cuda.get_device_name(), "cases": made}


def show(rows: dict[str, dict[str, float]]) -> None:
    for name, row in rows.items():
        print(f"  {name:<28} {row['seconds']:8.3f} s {row['over_floor']:8.2f} × floor", flush=True)


PARTS = {
    "scoring": measure_scoring,
    "growth": measure_growth,
    "encoding": measure_encoding,
    "startup": measure_startup,
    "corpus": measure_corpus,
    "planned": measure_planned,
    "gpu": measure_gpu,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure speed, as ratios.")
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all if left out")
    parser.add_argument("--rounds", type=int, default=7, help="figures are medians of so many")
    parser.add_argument("--check", action="store_true", help="compare with results.json and fail beyond 25 %%")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    made: dict[str, Any] = {}
    for part in given.parts or list(PARTS):
        if not (found := PARTS[part](given.rounds, not given.check)):
            continue
        made[part] = recorded(found, 1 if part in ONCE else given.rounds)
        if not given.check:
            charts.write(keep(part, made[part]), RESULTS.parent)
    if given.check:
        raise SystemExit(check(made, read()))


if __name__ == "__main__":
    main()
