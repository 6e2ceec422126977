"""One MaxSim cell by scorers whose requirements cannot live beside the program's: ``make bench-peers``.

Run in an environment of their own, which holds PyLate and sentence-transformers 6; measured against the same floor. The
results go into the JSON file that is named.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks import results, timing
from benchmarks.work import Work, cores, ragged, uniform

ROUNDS = 5


def sentence_transformers(work: Work) -> Callable[[], object]:
    from sentence_transformers.util import maxsim

    def score() -> None:
        for at, rows in enumerate(work.rows):
            maxsim([torch.from_numpy(work.query(at))], [torch.from_numpy(work.document(row)) for row in rows])

    return score


def pylate(work: Work) -> Callable[[], object]:
    from pylate.rank import rerank

    def score() -> None:
        for at, rows in enumerate(work.rows):
            documents = [torch.from_numpy(work.document(row)) for row in rows]
            rerank([rows.tolist()], [torch.from_numpy(work.query(at))], [documents], device="cpu")

    return score


def main(path: Path) -> None:
    torch.set_num_threads(cores())
    scorers, made = (sentence_transformers, pylate), {}
    names = {one: f"{one.__name__.replace('_', '-')} {version(one.__name__)}, 1 cell" for one in scorers}
    for work in (uniform(), ragged()):
        cases = {"peak": timing.square(), **{names[one]: one(work) for one in scorers}}
        seconds = timing.alternate(cases, ROUNDS)
        floor = work.flops / timing.peak(seconds.pop("peak"))
        made[work.name] = {name: one / floor for name, one in seconds.items()}
        for name, ratio in made[work.name].items():
            print(f"{work.name}: {name:<36} {ratio:8.2f} × floor", flush=True)
    results.keep("peers", results.recorded(made, ROUNDS), path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
