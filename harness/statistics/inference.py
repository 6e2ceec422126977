"""The statistics of degradation: bootstrap intervals, paired tests, Holm's correction, slopes. Arrays in, numbers out.

Everything is paired by query: axes are Q queries and any cells before them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special  # not scipy.stats, whose import takes a second

RESAMPLES = 10_000
BLOCK = 4_000_000  # query weights held at once
FEWEST = 12  # queries that must differ for a test: with fewer, it rejects a true null in less than 4 %, down to never


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
    """BCa interval of the mean over queries: (..., Q) → low (...), high (...).

    All cells share the same resamples of queries, so intervals of cells move together as the cells do. BCa (Efron,
    1987) and not percentiles, which miss rare successes: see reports/validation/statistics.md for both's coverage.
    """
    flat = np.atleast_2d(values.reshape(-1, values.shape[-1]))
    mean = flat.mean(axis=1)
    low, high = _accelerated(mean, _resampled_means(flat, random), flat - mean[:, None], level)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


def bootstrap_ratio(
    values: np.ndarray, base: np.ndarray, random: np.random.Generator, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """BCa interval of mean(values) / mean(base) over the same queries, each (cells, Q) → low, high (cells).

    NaN where the base is 0 on every query, or on every query of some resample.
    """
    means = _resampled_means(np.concatenate([values, base]), random)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = values.mean(axis=1) / base.mean(axis=1)
        return _accelerated(ratio, means[: len(values)] / means[len(values) :], values - ratio[:, None] * base, level)


def _resampled_means(flat: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Means of RESAMPLES resamples of queries: (cells, Q) → (cells, resamples), a block of resamples at a time."""
    n = flat.shape[1]
    block = max(1, BLOCK // n)
    sizes = [min(block, RESAMPLES - start) for start in range(0, RESAMPLES, block)]
    weights = (random.multinomial(n, np.full(n, 1 / n), size=size) / n for size in sizes)
    return np.concatenate([flat @ weight.T for weight in weights], axis=1)


def _accelerated(
    estimate: np.ndarray, resampled: np.ndarray, influence: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated limits: (cells), (cells, resamples), (cells, Q) → low, high (cells).

    Limit α is the resamples' quantile Φ(b + (b + z_α) / (1 − a(b + z_α))): b from the share of resamples below the
    estimate, half of those equal to it counted; a = Σ influence³ / 6(Σ influence²)^1.5.
    """
    defined = np.isfinite(resampled).all(axis=1)
    resampled = np.sort(np.where(defined[:, None], resampled, 0.0), axis=1)
    away = resampled - estimate[:, None]
    away[np.abs(away) <= 1e-12 * np.abs(estimate[:, None])] = 0.0  # equal but for the order of a sum
    bias = special.ndtri((1 - np.sign(away).mean(axis=1)) / 2)
    unit = influence / np.maximum(np.abs(influence).max(axis=1, keepdims=True), 1e-300)  # one of them is 1 or all are 0
    acceleration = (unit**3).sum(axis=1) / (6 * np.maximum((unit**2).sum(axis=1), 1.0) ** 1.5)
    limits = []
    for tail in ((1 - level) / 2, (1 + level) / 2):
        moved = bias + special.ndtri(tail)
        at = special.ndtr(bias + moved / (1 - acceleration * moved)) * (resampled.shape[1] - 1)
        below, part = np.divmod(np.where(defined, at, 0.0), 1)
        ends = np.minimum(below[:, None] + [0, 1], resampled.shape[1] - 1).astype(int)
        first, second = np.take_along_axis(resampled, ends, axis=1).T
        limits.append(np.where(defined, first + part * (second - first), np.nan))
    return limits[0], limits[1]


def student(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, ...]:
    """Mean, low, high, t and two-sided p against 0 by Student's t: (..., Q) → five of (...).

    All but the mean are NaN where there is no spread to estimate them from: one value, or equal ones.
    """
    n, mean = values.shape[-1], values.mean(axis=-1)
    spread = values.std(axis=-1, ddof=1) / np.sqrt(n) if n > 1 else np.full_like(mean, np.nan)
    spread = np.where(spread > 1e-12 * np.abs(mean), spread, np.nan)
    half, t = special.stdtrit(max(n - 1, 1), (1 + level) / 2) * spread, mean / spread
    return mean, mean - half, mean + half, t, 2 * special.stdtr(max(n - 1, 1), -np.abs(t))


def paired(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Paired:
    """Student's paired t-test of a against b, each (Q); queries on which either is NaN are left out.

    Interval, t and p are NaN where fewer than FEWEST queries differ (if there are fewer queries, where any does not).
    Where all differ by the same amount there is no spread and no t; from FEWEST queries on, p is then the sign test's,
    2^(1−Q).
    """
    difference = np.asarray(a, float) - np.asarray(b, float)
    difference = difference[~np.isnan(difference)]
    if not len(difference):
        return Paired(0, np.nan, np.nan, np.nan, np.nan, np.nan, 0, 0, 0)
    n, wins, losses = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    mean, low, high, t, p = map(float, student(difference, level))
    if wins + losses < min(n, FEWEST):
        low = high = t = p = np.nan
    elif np.isnan(p) and n >= FEWEST:
        p = 2.0 ** (1 - n)
    return Paired(n, mean, low, high, t, p, wins, n - wins - losses, losses)


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
    return np.asarray(x @ values / (x @ x))
