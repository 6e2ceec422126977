"""How often a test rejects where nothing differs: pairs of real values, exchanged at random query by query."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from harness.randomness import generator
from harness.statistics import inference
from validation.simulated import populations as real
from validation.simulated.populations import ARMS, ATTACKED, COUNTS, LENGTHS, MEASURES, POOLS, SIZES

LEVEL, COLLECTIONS, FAMILIES = 0.05, 10_000, 4000


@dataclass(frozen=True)
class Family:
    """Tests one Holm correction runs over. values: (pools, places, N), the baseline first; a place is one test."""

    command: str
    name: str
    pools: tuple[str, ...]
    places: tuple[str, ...]
    values: np.ndarray

    def tests(self, drawn: np.ndarray) -> np.ndarray:
        """p of every pool against the first at every place: (pools, places, Q) → (pools − 1, places)."""
        return tested(drawn[1:] - drawn[0])


def tested(differences: np.ndarray) -> np.ndarray:
    """p of ``harness.statistics.inference.paired``, many at once: (..., Q) → (...); a test holds the two together."""
    size, differ = differences.shape[-1], (differences != 0).sum(axis=-1)
    return np.where(differ >= min(size, inference.FEWEST), inference.student(differences)[-1], np.nan)


def evaluated(measure: str, pools: tuple[str, ...] = POOLS) -> Family:
    """``eval``: one measure's values at every length, and slopes, of both arms."""
    table, per_pool = real.queries(), []
    for pool in pools:
        arms = [np.stack([table[f"eval|{measure}|{arm}|{pool}|{length}"] for length in LENGTHS]) for arm in ARMS]
        per_pool.append([part for arm in arms for part in (*arm, inference.slopes(arm, np.array(LENGTHS)))])
    places = tuple(f"{arm} {place}" for arm in ARMS for place in (*(f"L = {length}" for length in LENGTHS), "slope"))
    return Family("eval", measure, pools, places, np.array(per_pool))


def attacked(measure: str) -> Family:
    """``stress``: one measure's losses at every count."""
    table = real.queries()
    losses = [
        [table[f"stress|{measure}|{pool}|0"] - table[f"stress|{measure}|{pool}|{count}"] for count in COUNTS[1:]]
        for pool in ATTACKED
    ]
    return Family("stress", measure, ATTACKED, tuple(f"K = {count}" for count in COUNTS[1:]), np.array(losses))


def compared(seeds: int) -> Family:
    """``compare``: every measure, arm, length and slope of one run against another, or of means over three seeds.

    Two pools stand for the two runs, and three pools for three seeds of one.
    """
    families = [evaluated(measure) for measure in MEASURES]
    values = np.concatenate([one.values for one in families], axis=1)
    other = values[1] if seeds == 1 else values[1:].mean(axis=0)
    places = tuple(f"{one.name} {place}" for one in families for place in one.places)
    name = "a run against a run" if seeds == 1 else f"a run against the mean of {seeds} seeds"
    return Family("compare", name, ("baseline", "run"), places, np.stack([values[0], other]))


def routed() -> Family:
    """``gradients``: the Gini of three pools at every length."""
    table = real.pairs()
    pools, lengths = (tuple(dict.fromkeys(column.split("|")[at] for column in table)) for at in (0, 1))
    values = np.array([[table[f"{pool}|{length}"] for length in lengths] for pool in pools])
    return Family("gradients", "gini", pools, tuple(f"L = {length}" for length in lengths), values)


def families() -> Iterator[Family]:
    for measure in MEASURES:
        yield evaluated(measure)
        yield attacked(measure)
    yield from (compared(1), compared(3), routed())


def exchanged(family: Family, random: np.random.Generator, size: int, apart: int = 0) -> np.ndarray:
    """A collection in which no pool differs from the baseline, but for the last ``apart``, which stay as they are.

    In every query the other pools' whole curves change places at random, so the null is exact, and lengths, arms and
    measures keep their correlation.
    """
    drawn = family.values[:, :, random.integers(0, family.values.shape[2], size)]
    same = len(drawn) - apart
    order = random.random((same, size)).argsort(axis=0)  # (pools, Q)
    return np.concatenate([np.take_along_axis(drawn[:same], order[:, None], axis=0), drawn[same:]])


def rates(family: Family, size: int) -> list[dict[str, object]]:
    """A row a test of the family: how often it gives a p, and how often that is at most 5 %."""
    random, rows = generator(0, "nulls", family.command, family.name, str(size)), []
    chosen = range(len(family.places)) if len(family.places) <= 10 else [*range(0, len(family.places), 4)]
    for pool, place in itertools.product(range(1, len(family.pools)), chosen):
        pair = family.values[[0, pool], place]  # (2, N)
        difference = pair[1] - pair[0]
        drawn = difference[random.integers(0, len(difference), (COLLECTIONS, size))]
        drawn *= random.choice([-1.0, 1.0], drawn.shape)
        p = tested(drawn)
        given = ~np.isnan(p)
        named = {"command": family.command, "tests": family.name, "pool": family.pools[pool]}
        rows.append(
            {
                **named,
                "place": family.places[place],
                "queries": size,
                "differing": (drawn != 0).sum(1).mean(),
                "tested": given.mean(),
                "collections": int(given.sum()),
                "rejected": (p[given] <= LEVEL).mean() if given.any() else np.nan,
            }
        )
    return rows


def studied() -> list[dict[str, object]]:
    """``synth``: two trainings' five seeds each, both drawn without return from one pool's forty."""
    table, rows = real.seeds(), []
    for column in table.columns[table.nunique() > 1]:
        random = generator(0, "nulls", "synth", column)
        drawn = random.permuted(np.tile(table[column], (COLLECTIONS, 1)), axis=1)
        a, b = drawn[:, :5], drawn[:, 5:10]
        p = tested(a - b)
        given = ~np.isnan(p)
        pool, measure, *place = column.split("|")
        rows.append(
            {
                "command": "synth",
                "tests": measure,
                "pool": pool,
                "place": " ".join(filter(None, place)),
                "queries": 5,
                "differing": (a != b).sum(1).mean(),
                "tested": given.mean(),
                "collections": int(given.sum()),
                "rejected": (p[given] <= LEVEL).mean(),
            }
        )
    return rows


def table(run: Callable) -> pd.DataFrame:
    """Rejection rates of every test, a row a test and size."""
    asked = [(family, size) for family in families() for size in SIZES]
    return pd.DataFrame([row for rows in (*run(rates, asked), studied()) for row in rows])


def familywise(family: Family, size: int, apart: int) -> dict[str, object]:
    """How often Holm's correction rejects any true null of the family."""
    random = generator(0, "families", family.command, family.name, str(size), str(apart))
    true, wrong, count = len(family.pools) - 1 - apart, 0, []
    for _ in range(FAMILIES):
        p = family.tests(exchanged(family, random, size, apart))
        adjusted = inference.holm(p.ravel()).reshape(p.shape)
        wrong += bool((adjusted[:true] <= LEVEL).any())
        count.append(np.isfinite(p).sum())
    named = {"command": family.command, "tests": family.name, "queries": size}
    return {
        **named,
        "pools that differ": apart,
        "tests of a family": p.size,
        "tested": float(np.mean(count)),
        "collections": FAMILIES,
        "any wrong": wrong / FAMILIES,
    }


def corrected(run: Callable) -> pd.DataFrame:
    """Family-wise rates where no pool differs, and where one does."""
    asked = [
        (family, size, apart)
        for family in families()
        for size in SIZES
        for apart in ((0, 1) if len(family.pools) > 2 else (0,))
    ]
    return pd.DataFrame(run(familywise, asked) + seeded())


def seeded() -> list[dict[str, object]]:
    """``synth``'s families, a measure and split of one pool: all its places take the same five seeds a side."""
    table, rows = real.seeds(), []
    columns = table.columns[table.nunique() > 1]
    for pool, measure, split in dict.fromkeys(tuple(column.split("|")[:3]) for column in columns):
        mine = [column for column in columns if column.startswith(f"{pool}|{measure}|{split}|")]
        random = generator(0, "families", "synth", pool, measure, split)
        order = random.permuted(np.tile(np.arange(len(table)), (FAMILIES, 1)), axis=1)
        values = table[mine].to_numpy().T[:, order[:, :10]]  # (places, families, 10)
        p = tested(values[..., :5] - values[..., 5:]).T
        wrong = [bool((inference.holm(one) <= LEVEL).any()) for one in p]
        rows.append(
            {
                "command": "synth",
                "tests": f"{measure}, {pool}",
                "queries": 5,
                "pools that differ": 0,
                "tests of a family": len(mine),
                "tested": np.isfinite(p).sum(1).mean(),
                "collections": FAMILIES,
                "any wrong": np.mean(wrong),
            }
        )
    return rows


def few(run: Callable) -> pd.DataFrame:
    """Why ten must differ: the rate of Student's test, without that rule, by how many of the queries differ."""
    counts = [*range(4, 13), 14, 16, 20, 30]
    return pd.DataFrame(run(_few, [(differing, size) for differing in counts for size in SIZES]))


def _few(differing: int, size: int) -> dict[str, object]:
    random = generator(0, "few", str(differing), str(size))
    found: dict[str, object] = {"differing": differing, "queries": size}
    for measure in ("R@1", "nDCG@10"):
        family = evaluated(measure)
        pool = (family.values[1] - family.values[0]).ravel()
        drawn = np.zeros((COLLECTIONS, size))
        drawn[:, :differing] = random.choice(pool[pool != 0], (COLLECTIONS, differing))
        drawn *= random.choice([-1.0, 1.0], drawn.shape)
        found[f"{measure}, Student"] = float((inference.student(drawn)[-1] <= LEVEL).mean())
        flips = random.choice([-1.0, 1.0], (differing, 1999))
        sums, own = np.abs(drawn[:, :differing] @ flips), np.abs(drawn.sum(axis=1, keepdims=True))
        found[f"{measure}, sign flips"] = float(((1 + (sums >= own - 1e-9).sum(axis=1)) / 2000 <= LEVEL).mean())
    return found
