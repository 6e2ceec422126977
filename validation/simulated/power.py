"""What the bench cannot see: the chance to find a true difference between two pools' slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import special

from harness.randomness import generator
from validation.simulated.nulls import LEVEL, evaluated, tested
from validation.simulated.populations import ARMS, POOLS

SLOPE, SIZES, COLLECTIONS = 0.01, (50, 160, 300, 1000), 10_000
FAMILY = 20  # tests of one measure with three pools, two arms, four lengths and the slope


def shifted(differences: np.ndarray, mean: float) -> np.ndarray:
    """The same queries with another mean difference; those that do not differ go on not differing."""
    differ = differences != 0
    return differences + differ * (mean - differences.mean()) / differ.mean()


def seen(differences: np.ndarray, mean: float, size: int, level: float, random: np.random.Generator) -> float:
    """Share of collections in which a true mean difference has p at most the level and the right sign."""
    population = shifted(differences, mean)
    drawn = population[random.integers(0, len(population), (COLLECTIONS, size))]
    return float(((tested(drawn) <= level) & (drawn.mean(axis=1) * mean > 0)).mean())


def least(spread: float, size: int, level: float, power: float = 0.8) -> float:
    """The mean difference that a t-test sees with the power: (t_{1−level/2} + t_{power})·s/√n, n − 1 degrees."""
    return float(sum(special.stdtrit(size - 1, one) for one in (1 - level / 2, power)) * spread / np.sqrt(size))


def row(arm: str, pool: str, size: int) -> dict[str, object]:
    family = evaluated("nDCG@10")
    at = family.places.index(f"{arm} slope")
    differences = family.values[POOLS.index(pool), at] - family.values[0, at]
    spread = float(differences.std(ddof=1))
    random = generator(0, "power", arm, pool, str(size))
    smallest = least(spread, size, LEVEL)
    return {
        "arm": arm,
        "pool": pool,
        "queries": size,
        "spread": spread,
        "sees 0.01": seen(differences, SLOPE, size, LEVEL, random),
        "sees 0.01 after Holm": seen(differences, SLOPE, size, LEVEL / FAMILY, random),
        "least seen": smallest,
        "checked": seen(differences, smallest, size, LEVEL, random),
        "least seen after Holm": least(spread, size, LEVEL / FAMILY),
    }


def table(run: Callable) -> pd.DataFrame:
    """Power of the slope's test against MaxSim in nDCG@10."""
    return pd.DataFrame(run(row, [(arm, pool, size) for arm in ARMS for pool in POOLS[1:] for size in SIZES]))
