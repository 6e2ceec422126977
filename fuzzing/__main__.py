"""``python -m fuzzing --inputs 100000 --seed 0 [--target NAME]…``: try, print, and with --page write the table."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from fuzzing.hunting import Tally, begin, keep, work_off
from harness.engines.local import cores
from validation.pages import FOLDER, write

FOUND = Path("build") / "fuzz"
CHUNK = 250  # inputs handed to a process at once
SHARES = {
    "specs": 34,
    "options": 5,
    "configs": 4,
    "cards": 3,
    "beir": 16,
    "qrels": 16,
    "archives": 10,
    "vectors": 3,
    "pages": 0.8,
    "runs": 0.8,
    "comparisons": 0.3,
    "pages-of-runs": 0.3,
    "charts-of-runs": 0.1,
    "orders": 0.2,
    "sound-runs": 0.3,
}
LAYOUTS = ("longembed", "mteb2", "configs", "colbert", "titled_tsv", "csv", "trec", "trec_xml", "bright", "mldr")
SHARES |= {f"layout-{name}": 2 for name in (*LAYOUTS, "autorag", "loco")}
TEXT = """Sound files are changed at random (bytes flipped, cut, doubled; words and values replaced by hostile ones;
files left out, added or turned into links) and read as the product reads them. An input is *accepted*, *refused* with
one readable line a mistake, or a *finding*: any other exception, a line that cannot be printed, more than {seconds:g} s
of processor time, a file changed outside of the folders for output, cache and temporary files, a pickle, a program or a
connection opened (Python's audit events tell). An accepted corpus must give a TREC run that reads back to the same
ids."""


def main() -> None:
    known = list(SHARES)
    parser = argparse.ArgumentParser(prog="python -m fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="over all targets asked for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=known, help="one or more; all if left out")
    parser.add_argument("--processes", type=int, default=cores())
    parser.add_argument("--page", type=Path, nargs="?", const=FOLDER, help="write the table there [reports/validation]")
    asked = parser.parse_args()
    tallies = fuzz(asked.target or known, asked.inputs, asked.seed, asked.processes)
    table = pd.DataFrame([row(tally) for tally in tallies])
    print(table.to_string(index=False))
    shutil.rmtree(FOUND, ignore_errors=True)
    for folder in [folder for tally in tallies for folder in keep(tally, FOUND)]:
        print(folder, (folder / "finding.txt").read_text().partition("\n")[0], sep="  ")
    if asked.page:
        page(asked, table)
    sys.exit(1 if table["finding"].sum() else 0)


def fuzz(names: list[str], inputs: int, seed: int, processes: int) -> list[Tally]:
    """The tallies of all targets, in order."""
    total = sum(SHARES[name] for name in names)
    counts = {name: -int(-inputs * SHARES[name] // total) for name in names}
    work = [
        (name, range(start, min(start + CHUNK, count)), seed)
        for name, count in counts.items()
        for start in range(0, count, CHUNK)
    ]
    tallies = {name: Tally(name) for name in names}
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as root,
        ProcessPoolExecutor(processes, get_context("spawn"), begin, (root,)) as pool,
    ):
        try:
            for done in pool.map(work_off, work):
                tallies[done.target].add(done)
                told(done)
        except BrokenProcessPool:
            at = ", ".join(path.read_text() for path in Path(root).glob("*/now"))
            sys.exit(f"a process died; the last inputs were {at}")
    return list(tallies.values())


def told(done: Tally) -> None:
    for sign in done.findings:
        print(f"  {done.target}: {sign}", file=sys.stderr, flush=True)


def row(tally: Tally) -> dict[str, object]:
    counts = {name: tally.results[name] for name in ("accepted", "refused", "finding")}
    return {
        "target": tally.target,
        "inputs": tally.results.total(),
        **counts,
        "causes": len(tally.findings),
        "seconds": round(tally.seconds, 1),
        "slowest_s": round(tally.slowest, 3),
    }


def page(asked: argparse.Namespace, table: pd.DataFrame) -> None:
    from fuzzing.judging import SECONDS

    command = f"python -m fuzzing --inputs {asked.inputs} --seed {asked.seed} --page"
    table.loc[len(table)] = [
        "all",
        *table[["inputs", "accepted", "refused", "finding", "causes"]].sum(),
        round(table["seconds"].sum(), 1),
        table["slowest_s"].max(),
    ]
    print(write(asked.page, "fuzzing", "Hostile input", TEXT.format(seconds=SECONDS), {"targets": table}, command))


if __name__ == "__main__":
    main()
