"""Populations of queries, from which collections are drawn with replacement, so that the true mean is known.

``queries.csv`` holds per-query values of real runs on SciFact (300 claims, MiniLM), ``pairs.csv`` the Gini of 160
(query, document) pairs, ``seeds.csv`` what ``harness synth`` measured under 40 seeds; numbers alone, no id and no text.
``python -m validation.simulated.populations EVAL STRESS GRADIENTS SYNTH`` writes them from run directories.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent
MEASURES = ("nDCG@10", "R@10", "R@1")
ARMS, LENGTHS = ("truncate", "pad"), (32, 64, 128, 256)
POOLS = ("maxsim", "topk:4", "softmax:0.1", "softmax:1.0")
ATTACKED, COUNTS = ("maxsim", "topk:4", "topk:16", "softmax:1.0"), (0, 25, 100, 400)
SIZES = (50, 160, 300)


@cache
def queries() -> pd.DataFrame:
    """Values by query: columns ``eval|measure|arm|pool|length`` and ``stress|measure|pool|count``."""
    return pd.read_csv(FOLDER / "queries.csv")


@cache
def pairs() -> pd.DataFrame:
    """The Gini by pair: columns ``pool|length``."""
    return pd.read_csv(FOLDER / "pairs.csv")


@cache
def seeds() -> pd.DataFrame:
    """What each seed measured: columns ``pool|measure|split|length|inject|count``."""
    return pd.read_csv(FOLDER / "seeds.csv")


@dataclass(frozen=True)
class Population:
    """What a mean or ratio of means is estimated of; ``draw(random, C, Q)``: one array (C, Q), or two of a ratio."""

    name: str
    kind: str
    truth: float
    deciding: float  # the smaller share of queries: those that score, and those that score (or keep) less than all
    draw: Callable[[np.random.Generator, int, int], list[np.ndarray]]


def real(name: str, kind: str, *columns: np.ndarray) -> Population:
    """Queries of a real run; two columns are a ratio, drawn together, so that their correlation is kept."""

    values, full = columns[0], columns[1] if len(columns) > 1 else np.ones(len(columns[0]))
    deciding = min((values > 0).mean(), (values < full).mean())
    truth = values.mean() / full.mean()
    return Population(f"SciFact: {name}", kind, float(truth), float(deciding), partial(_again, columns))


def written(name: str, kind: str, zero: float, one: float, keeps: float | None = None) -> Population:
    """0 with probability zero, 1 with one, else Beta(2, 2); attacked, a value stays with probability keeps, or is 0."""
    mean = one + (1 - zero - one) / 2
    deciding = min(1 - zero, 1 - one) if keeps is None else (1 - zero) * min(keeps, 1 - keeps)
    truth = mean if keeps is None else keeps
    return Population(f"written: {name}", kind, truth, deciding, partial(_afresh, zero, one, keeps))


def _again(columns: Sequence[np.ndarray], random: np.random.Generator, collections: int, size: int) -> list[np.ndarray]:
    rows = random.integers(0, len(columns[0]), (collections, size))
    return [column[rows] for column in columns]


def _afresh(
    zero: float, one: float, keeps: float | None, random: np.random.Generator, collections: int, size: int
) -> list[np.ndarray]:
    where = random.random((collections, size))
    base = np.where(where < zero, 0.0, np.where(where < zero + one, 1.0, random.beta(2, 2, where.shape)))
    return [base] if keeps is None else [base * (random.random(where.shape) < keeps), base]


def populations() -> Iterator[Population]:
    """nDCG, Recall and retained share, from strong to nearly nothing."""
    table = queries()
    for measure in MEASURES:
        kind = "nDCG" if measure.startswith("n") else "Recall"
        for pool, count in (("maxsim", 0), ("softmax:1.0", 0), ("topk:4", 100), ("topk:16", 100), ("topk:16", 400)):
            values = table[f"stress|{measure}|{pool}|{count}"].to_numpy()
            yield real(f"{measure}, {pool}, K = {count}", kind, values)
            if count or pool == "maxsim":
                against = values if count else table[f"stress|{measure}|{pool}|100"].to_numpy()
                base = table[f"stress|{measure}|{pool}|0"].to_numpy()
                yield real(f"{measure} retained, {pool}, K = {count or 100}", "retained", against, base)
    for name, zero, one in (("strong", 0.1, 0.6), ("middling", 0.3, 0.2), ("weak", 0.75, 0.05)):
        yield written(f"{name} nDCG", "nDCG", zero, one)
        yield written(f"{name} Recall", "Recall", 1 - one - (1 - zero - one) / 2, one + (1 - zero - one) / 2)
    for keeps in (0.95, 0.6, 0.15):
        yield written(f"{keeps:.0%} of a middling nDCG retained", "retained", 0.3, 0.2, keeps)


def write(evaluated: Path, attacked: Path, routed: Path, studied: Path) -> None:
    """queries.csv, pairs.csv and seeds.csv from run directories, rounded to six digits."""
    run, hurt, gini = (pd.read_parquet(path / "per_query.parquet") for path in (evaluated, attacked, routed))
    run = run[run["arm"].isin(ARMS) & run["pool"].isin(POOLS)]
    hurt = hurt[(hurt["inject"] == "hard") & hurt["measure"].isin(MEASURES) & hurt["count"].isin(COUNTS)]
    swept = _wide(run, "eval", ["measure", "arm", "pool", "length"])
    both = pd.concat([swept, _wide(hurt, "stress", ["measure", "pool", "count"])], axis=1)
    both.round(6).to_csv(FOLDER / "queries.csv", index=False)
    gini = gini.assign(query_id=gini["query_id"] + " " + gini["doc_id"], value=gini["gini"])
    _wide(gini, "", ["pool", "length"]).round(6).to_csv(FOLDER / "pairs.csv", index=False)
    from harness.worlds import analysis

    found = analysis.measured(*(pd.read_csv(studied / f"{name}.csv") for name in ("training", "lengths", "injection")))
    last = found["epoch"].replace("", "0").astype(int).max()
    kept = found["epoch"].isin(["", str(last)]) & ((found["split"] == "heldout") | (found["measure"] == "gini"))
    names = found["length"].where(found["statistic"] != analysis.SLOPE, analysis.SLOPE)
    found = found[kept].assign(query_id=found["seed"], length=names)
    keys = ["pool", "measure", "split", "length", "inject", "count"]
    _wide(found, "", keys).round(6).to_csv(FOLDER / "seeds.csv", index=False)


def _wide(table: pd.DataFrame, start: str, keys: list[str]) -> pd.DataFrame:
    wide = table.pivot(index="query_id", columns=keys, values="value").reset_index(drop=True)
    wide.columns = pd.Index(["|".join([start, *map(str, key)] if start else map(str, key)) for key in wide.columns])
    return wide


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:]))
