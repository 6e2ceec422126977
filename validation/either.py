"""Can either answer come out? Collections in which MaxSim, smoothing, or neither is right, through eval and stress."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

import harness
from harness.statistics import inference
from validation import pages
from validation.simulated import evidence

POOLS = ("maxsim", "softmax:1.0")
LENGTHS, COUNTS = (16, 64, 256), (100, 200)
SEEDS = {"sharp": range(5), "spread": range(5), "mixed": range(20)}
CALIBRATION = range(1000, 1003)  # seeds that chose evidence.SPREAD; no result is from them
LOSES = {"sharp": "softmax:1.0", "spread": "maxsim"}
LEVEL = 0.05


def main(folder: Path) -> Path:
    """Ask every collection of every seed, write the page; returns its path."""
    asked = [(judged, seed) for judged, seeds in SEEDS.items() for seed in seeds]
    tests = pd.concat([tested(judged, seed) for judged, seed in asked], ignore_index=True)
    tables = {"calls": called(tests), "calibration": calibrated()}
    page = pages.write(folder, "either", "Either answer can come out", text(tests), tables)
    tests.to_csv(folder / "either-tests.csv", index=False, lineterminator="\n")
    return page


def question(judged: str, seed: int, folder: Path, queries: int) -> dict:
    made = evidence.write(folder, judged, seed, queries)
    return {**made, "pool": list(POOLS), "candidates": "exact", "measures": "nDCG@10", "output": folder}


def tested(judged: str, seed: int, queries: int = evidence.QUERIES, lengths: Sequence[int] = LENGTHS) -> pd.DataFrame:
    """What eval and stress tell of one collection: their tests, and whom each calls better, ``neither`` if nobody."""
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, HARNESS_CACHE=f"{name}/cache"):
        asked = question(judged, seed, Path(name), queries)
        swept = harness.evaluate(**asked, lengths=list(lengths), arms="pad", fill="gaussian")
        hurt = harness.stress(**asked, inject="hard", counts=list(COUNTS))
        parts = [pd.read_csv(run.path / "tests.csv") for run in (swept, hurt)]
    places = [
        statistic if statistic == "slope" else f"L = {length:.0f}"
        for statistic, length in zip(parts[0]["statistic"], parts[0]["length"], strict=True)
    ]
    table = pd.concat(
        [
            parts[0].assign(command="eval", test=places),
            parts[1].assign(command="stress", test=[f"loss, K = {one}" for one in parts[1]["count"]]),
        ],
        ignore_index=True,
    )
    table["call"] = [call(*row) for row in zip(table["mean_difference"], table["p_holm"], strict=True)]
    keep = ["command", "test", "n", "mean_difference", "t", "p", "p_holm", "wins", "ties", "losses", "call"]
    return table[keep].assign(collection=judged, seed=seed)[["collection", "seed", *keep]]


def call(better: float, p: float) -> str:
    """The pool a test calls better: the second's advantage over the first, and Holm's p."""
    return "neither" if not p < LEVEL else POOLS[better > 0]


def called(tests: pd.DataFrame) -> pd.DataFrame:
    """How often each test calls MaxSim, smoothing or neither, a row a collection and test."""
    groups = tests.groupby(["collection", "command", "test"], sort=False)
    counts = groups["call"].value_counts().unstack(fill_value=0).reindex(columns=[*POOLS, "neither"], fill_value=0)
    counts.insert(0, "advantage of softmax:1.0", groups["mean_difference"].mean())
    return counts.assign(seeds=groups.size(), **{"largest p": groups["p_holm"].max()}).reset_index()


def calibrated() -> pd.DataFrame:
    """What the pool that must lose reaches on the calibration's seeds, in both collections, at every length."""
    rows = []
    for judged, pool in LOSES.items():
        for seed in CALIBRATION:
            with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, HARNESS_CACHE=f"{name}/cache"):
                asked = question(judged, seed, Path(name), evidence.QUERIES)
                found = harness.evaluate(**asked, lengths=list(LENGTHS), arms="pad", fill="gaussian").summary
            mine = found[found["pool"] == pool].set_index("length")["value"].rename("L = {}".format)
            slope = inference.slopes(mine.to_numpy()[:, None], np.array(LENGTHS))[0]
            rows.append({"collection": judged, "loser": pool, "seed": seed, **mine, "slope": slope})
    return pd.DataFrame(rows)


def text(tests: pd.DataFrame) -> str:
    mixed = tests[tests["collection"] == "mixed"]
    right = {"sharp": "maxsim", "spread": "softmax:1.0"}
    wrong = sum(int((tests["call"][tests["collection"] == name] != pool).sum()) for name, pool in right.items())
    of = int((tests["collection"] != "mixed").sum())
    runs = mixed.groupby(["command", "seed"])["call"].agg(lambda calls: (calls != "neither").any())
    rates = runs.groupby("command").agg(["sum", "size"])
    told = ", ".join(f"{name} in {row['sum']} of {row['size']} collections" for name, row in rates.iterrows())
    return f"""
{evidence.QUERIES} queries of {evidence.TOKENS} tokens, two documents each. The *sharp* one has, for every token, one
patch of cosine {evidence.SHARP} to it, and as many of noise; each of the *spread* one's {evidence.PATCHES} patches has
cosine {evidence.SPREAD / evidence.TOKENS**0.5:.2f} to every token. The three collections have the same vectors and
differ in the judgments alone. **sharp**: the sharp document is relevant, and diffuse distractors mislead smoothing.
**spread**: the spread one is, and spiky distractors mislead MaxSim. **mixed**: the sharp one for every other query.
Asked are `harness eval --pool {",".join(POOLS)} --lengths {",".join(map(str, LENGTHS))} --arms pad --fill gaussian` and
`harness stress --inject hard --counts {",".join(map(str, COUNTS))}`, all documents candidates. A call is the sign of a
test in their `tests.csv` where Holm's p is below 0.05. Differences are the advantage of {POOLS[1]} over {POOLS[0]}: in
nDCG@10, in its change for each doubling of L, in what is not lost.

Of the {of} tests on *sharp* and *spread*, {wrong} call the wrong pool or none. On *mixed* some test of a run calls a
pool: {told}. Holm allows 5 %; as half of the queries are of either kind exactly, and not
by chance, it must be less.

The mix cancels by symmetry but for one thing: how fast the loser falls. One number was set for that, the cosine of
spread patches ({evidence.SPREAD} to the sum of the tokens), so that the two losers' nDCG@10 agree over the lengths on
seeds {CALIBRATION[0]} to {CALIBRATION[-1]}, which are used for nothing else (table *calibration*).
"""
