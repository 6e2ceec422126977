"""How often an interval covers the truth, over simulated collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy import special

from harness.randomness import generator
from harness.statistics import inference
from validation.simulated.populations import SIZES, Population

COLLECTIONS, AT_ONCE = 4000, 1000
OTHER = 1000  # resamples of the intervals that were not chosen

Interval = Callable[[list[np.ndarray], np.random.Generator], tuple[np.ndarray, np.ndarray]]


def bca(drawn: list[np.ndarray], random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The interval the program prints, by the program's own function."""
    return (inference.bootstrap if len(drawn) == 1 else inference.bootstrap_ratio)(*drawn, random)


def percentile(
    drawn: list[np.ndarray], random: np.random.Generator, expanded: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles of the resamples; expanded: as far out as Student's t is (Hesterberg, 2015)."""
    n = drawn[0].shape[1]
    weights = random.multinomial(n, np.full(n, 1 / n), size=OTHER) / n
    means = [values @ weights.T for values in drawn]
    tail = special.ndtr(-np.sqrt(n / (n - 1)) * special.stdtrit(n - 1, 0.975)) if expanded else 0.025
    with np.errstate(divide="ignore", invalid="ignore"):
        found = means[0] if len(drawn) == 1 else means[0] / means[1]
    low, high = np.quantile(found, [tail, 1 - tail], axis=1)
    return low, high


INTERVALS: dict[str, Interval] = {
    "BCa": bca,
    "percentile": percentile,
    "expanded percentile": partial(percentile, expanded=True),
}


def covered(interval: Interval, population: Population, size: int, collections: int = COLLECTIONS) -> float:
    """Share of simulated collections of the size whose interval holds the population's value."""
    random, held = generator(0, "coverage", population.name, str(size)), 0
    for start in range(0, collections, AT_ONCE):
        drawn = population.draw(random, min(AT_ONCE, collections - start), size)
        low, high = interval(drawn, random)
        held += int(((low <= population.truth + 1e-12) & (high >= population.truth - 1e-12)).sum())
    return held / collections


def row(population: Population, size: int) -> dict[str, object]:
    """One row of the table: a population and a size under every interval."""
    about = {"kind": population.kind, "population": population.name, "truth": population.truth, "queries": size}
    about["deciding"] = round(population.deciding * size, 1)
    return {**about, **{name: covered(one, population, size) for name, one in INTERVALS.items()}}


def table(run: Callable, populations: Sequence[Population]) -> pd.DataFrame:
    """Every population at every size; ``deciding``: expected queries that score, or fall short if those are fewer."""
    rows = run(row, [(population, size) for population in populations for size in SIZES])
    return pd.DataFrame(rows).sort_values(["kind", "population", "queries"], ignore_index=True)


def error(rate: float, trials: int) -> float:
    """Half of the 95 % interval of a simulated rate (Wilson's, for rates near 0 and 1)."""
    z = float(special.ndtri(0.975))
    return z / (1 + z**2 / trials) * float(np.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)))
