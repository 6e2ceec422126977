"""``python -m validation.readmes.collect FOLDER PREFIX RUN…``: the tables of the retraining study from its runs.

A comparison of eval runs becomes ``<PREFIX>lengths-*.csv``, one of stress runs ``<PREFIX>attack-*.csv``, and all runs
of gradients together ``<PREFIX>gini.csv``; PREFIX may be empty.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.reports.reading import FinishedRun, open_run

STUDIES = {"eval": "lengths", "stress": "attack"}
GINI = ["dataset", "checkpoint", "pool", "length", "gini", "gini_low", "gini_high", "n_pairs"]


def collect(folder: Path, prefix: str, paths: Sequence[Path]) -> list[Path]:
    """Write the tables into the folder; returns them. Raises ValueError where two comparisons are of one kind."""
    runs = [open_run(path) for path in paths]
    made = []
    for of, study in STUDIES.items():
        compared = [run for run in runs if run.kind == "compare" and run.manifest.config["of"] == of]
        if len(compared) > 1:
            raise ValueError(f"{' and '.join(str(run.path) for run in compared)} both compare runs of {of}; give one")
        for name in ("summary", "tests"):
            for run in compared:
                made.append(folder / f"{prefix}{study}-{name}.csv")
                made[-1].write_bytes((run.path / f"{name}.csv").read_bytes())
    if concentrated := [run for run in runs if run.kind == "gradients"]:
        made.append(folder / f"{prefix}gini.csv")
        concentration(concentrated).to_csv(made[-1], index=False, lineterminator="\n")
    return made


def concentration(runs: Sequence[FinishedRun]) -> pd.DataFrame:
    """The Gini of every checkpoint, pool and length, checkpoints in the order of their names."""
    table = pd.concat([run.summary for run in runs], ignore_index=True)[GINI]
    return table.sort_values("checkpoint", kind="stable")


if __name__ == "__main__":
    for written in collect(Path(sys.argv[1]), sys.argv[2], [Path(name) for name in sys.argv[3:]]):
        print(written)
