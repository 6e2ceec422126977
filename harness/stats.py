"""The statistics of degradation: bootstrap intervals, paired tests, Holm's correction, slopes. Arrays in, numbers out.

Everything is paired by query: axes are Q queries and any cells before them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special  # not scipy.stats, whose import takes a second

RESAMPLES = 10_000
BLOCK = 4_000_000  # query weights held at once


@dataclass(frozen=True)
class Paired:
    """A paired comparison: mean difference a − b with its t interval, t and two-sided p, and who won how often."""

    n: int
    mean_difference: float
    ci_low: float
    ci_high: float
    t: float
    p: float
    wins: int
    ties: int
    losses: int


def bootstrap(values: np.ndarray, random: np.random.Generator, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over queries: (..., Q) → low (...), high (...).

    All cells share the same resamples of queries, so intervals of cells move together as the cells do.
    """
    flat = np.atleast_2d(values.reshape(-1, values.shape[-1]))
    low, high = _percentiles(_resampled_means(flat, random), level)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def bootstrap_ratio(
    values: np.ndarray, base: np.ndarray, random: np.random.Generator, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of mean(values) / mean(base) over the same queries, each (cells, Q) → low, high (cells).

    NaN where the base is 0 on every query.
    """
    means = _resampled_means(np.concatenate([values, base]), random)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _percentiles(means[:, : len(values)] / means[:, len(values) :], level)


def _resampled_means(flat: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Means of RESAMPLES resamples of queries: (cells, Q) → (resamples, cells), a block of resamples at a time."""
    n = flat.shape[1]
    block = max(1, BLOCK // n)
    sizes = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    return np.concatenate([random.multinomial(n, np.full(n, 1 / n), size=size) / n @ flat.T for size in sizes])


def _percentiles(means: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return low, high


def paired(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Paired:
    """Student's paired t-test of a against b, each (Q). Equal on every query: t is NaN and p is 1."""
    difference = np.asarray(a, float) - np.asarray(b, float)
    n, mean = len(difference), float(difference.mean())
    counts = [int((difference > 0).sum()), int((difference == 0).sum()), int((difference < 0).sum())]
    spread = float(difference.std(ddof=1)) / np.sqrt(n) if n > 1 else np.nan
    if not np.any(difference):
        return Paired(n, 0.0, 0.0, 0.0, np.nan, 1.0, *counts)
    if not spread > 1e-12 * abs(mean):  # one query, or the same difference everywhere: nothing to estimate it from
        return Paired(n, mean, np.nan, np.nan, np.nan, np.nan, *counts)
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * spread
    t = mean / spread
    return Paired(n, mean, mean - half, mean + half, t, float(2 * special.stdtr(n - 1, -abs(t))), *counts)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm, 1979); NaN stays NaN and is not counted as a test."""
    p = np.asarray(p, float)
    adjusted = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0) if len(order) else []
    return adjusted


def slopes(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Least-squares change of a measure for each doubling of the length: (L, Q) → (Q)."""
    x = np.log2(np.asarray(lengths, float))
    x = x - x.mean()
    return x @ values / (x @ x)
