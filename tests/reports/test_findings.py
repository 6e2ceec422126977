"""What reports say in words is true: each claim is checked against random tables by loops that know nothing of it."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from harness.commands import gradients
from harness.reports import claims, findings, values
from harness.reports.study import judged
from harness.statistics import comparison, inference, tables
from harness.worlds import analysis
from tests.statistics.test_tables import holm_loop

POOLS = ["maxsim", "topk:4", "softmax:0.1", "mean"]
SIZES = [1, 2, 5, 11, 12, 13, 40]
SEEDS = range(25)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(inference, "RESAMPLES", 99)


def drawn(random: np.random.Generator, size: int, other: np.ndarray | None = None) -> np.ndarray:
    """Values by query: nothing, ties, equal to another pool's but for a few, better than it throughout, or any."""
    kinds = ["zero", "ties", "any"] + ["equal", "few", "shifted", "near"] * (other is not None)
    kind = random.choice(kinds)
    if kind in ("equal", "few", "shifted", "near"):
        made = other.copy()
        if kind == "few":
            made[: random.integers(1, 13)] += random.normal(0, 0.1)
        elif kind == "shifted":
            made += random.choice([-0.25, 0.125])
        elif kind == "near":
            made += random.normal(random.choice([-0.2, 0.2]), 0.1, size)
        return made
    return {"zero": np.zeros(size), "ties": random.integers(0, 3, size) / 2, "any": random.random(size)}[kind]


def table(random: np.random.Generator, keys: dict[str, list], across: str, size: int) -> pd.DataFrame:
    """Values by query of every cell. keys: columns before ``query_id``, of which ``pool`` is one."""
    rows, made = [], {}
    for cell in itertools.product(*keys.values()):
        place = tuple(one for name, one in zip(keys, cell, strict=True) if name != "pool")
        made[cell] = drawn(random, size, made.get(place))
        made.setdefault(place, made[cell])
        rows += [(*cell, f"q{at:03}", value) for at, value in enumerate(made[cell].tolist())]
    return pd.DataFrame(rows, columns=[*keys, "query_id", "value"]).astype({across: "Int64"})


def swept(seed: int):
    """(values by query, summary, tests, claims, what the claims are of) of a random eval run."""
    random = np.random.default_rng(seed)
    pools, lengths = POOLS[: random.integers(1, 5)], sorted(random.choice([4, 8, 16, 32], random.integers(1, 4), False))
    keys = {"dataset": ["d"], "checkpoint": ["c"], "pool": pools, "arm": ["pad"], "length": lengths, "measure": ["R@1"]}
    per_query = table(random, keys, "length", int(random.choice(SIZES)))
    over = lengths[: random.integers(1, len(lengths) + 1)]
    tests = tables.compare(per_query, pools, {"pad": over})
    summary = tables.summarise(per_query, random)
    means = {pool: per_query[per_query["pool"] == pool].groupby("length")["value"].mean() for pool in pools}
    slopes = {pool: float(np.polyfit(np.log2(over), means[pool][over], 1)[0]) for pool in pools} if over[1:] else {}
    return per_query, over, findings.degradation(summary, tests, slopes, over)


def by_query(per_query: pd.DataFrame, **where) -> list[float]:
    for name, value in where.items():
        per_query = per_query[(per_query[name] == value).fillna(False)]
    return per_query.sort_values("query_id")["value"].tolist()


def expected(pairs: dict[tuple, tuple[list[float], list[float]]]) -> dict[tuple, claims.Tested]:
    """What every test of a family must say, by scipy and loops. pairs: by (place, pool) the pool's values, others."""
    p = []
    for mine, base in pairs.values():
        both = [(a, b) for a, b in zip(mine, base, strict=True) if not math.isnan(a) and not math.isnan(b)]
        differences = [a - b for a, b in both]
        wins, losses, n = sum(d > 0 for d in differences), sum(d < 0 for d in differences), len(both)
        spread = np.ptp(differences) > 1e-9 if both else False
        tested = wins + losses >= min(n, 12) and n > 1 and (spread or n >= 12)
        p.append(
            float(ttest_rel(*zip(*both, strict=True)).pvalue)
            if tested and spread
            else 2.0 ** (1 - n)
            if tested
            else math.nan
        )
    made, adjusted = {}, holm_loop(p)
    for (place, pool), (mine, base), corrected in zip(pairs, pairs.values(), adjusted, strict=True):
        both = [a - b for a, b in zip(mine, base, strict=True) if not math.isnan(a - b)]
        mean = sum(both) / len(both) if both else math.nan
        wins, losses = sum(d > 0 for d in both), sum(d < 0 for d in both)
        made[place, pool] = claims.Tested(
            pool, mean, None if math.isnan(corrected) else corrected, len(both), wins, losses
        )
    return made


def check_verdict(claim: claims.Verdict, truth: list[claims.Tested]) -> None:
    """A verdict's records are what scipy says, and its text puts every pool where it belongs."""
    assert [one.pool for one in claim.tests] == [one.pool for one in truth]
    for one, true in zip(claim.tests, truth, strict=True):
        assert (one.n, one.wins, one.losses) == (true.n, true.wins, true.losses) and (one.p is None) == (true.p is None)
        assert one.difference == pytest.approx(true.difference, abs=1e-12, nan_ok=True)
        assert one.p is None or one.p == pytest.approx(true.p, rel=1e-6)
    parts = re.split("; ", claim.text.removesuffix(".").removesuffix(" (p is Holm-corrected)").split(", ", 1)[1])
    for one in truth:
        [part] = [part for part in parts if f" {one.pool} (" in f" {part}" or f" {one.pool}," in f" {part},"]
        if one.p is not None and one.p < 0.05:
            words = claim.better if one.difference > 0 else claim.worse
            assert part.startswith(f"significantly {words} {claim.baseline}")
        elif one.p is not None:
            assert part.startswith(f"not told apart from {claim.baseline}")
            assert "p < 0.0" not in part
        elif one.n and one.wins == one.losses == 0:
            assert part.startswith(f"{claim.same} {claim.baseline} for all {claim.unit}")
        else:
            assert part.startswith(f"not tested against {claim.baseline}") and "significant" not in part
            assert f"{one.wins} better and {one.losses} worse of {one.n}" in part
            differ = one.wins + one.losses
            why = "undefined" if not one.n else "have no spread" if differ == one.n < 12 else "needs 12"
            assert ("needs all" if 0 < differ < one.n < 12 else why) in part
    assert ("Holm" in claim.text) == any(one.p is not None for one in truth)


def check_words(said: list[claims.Claim], ranked: bool = False) -> None:
    """No pool is spelt otherwise, and none ranked where nothing was tested."""
    text = " ".join(map(str, said))
    assert not any(pool.capitalize() in text for pool in POOLS)
    assert ranked or not re.search(r"\b(most|least|fastest|highest|lowest|best|worst)\b", text.replace("at most", ""))
    assert "nan" not in text and "p = 1 " not in text


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_a_sweep_is_true(seed):
    per_query, over, said = swept(seed)
    check_words(said)
    pools, lengths = list(dict.fromkeys(per_query["pool"])), sorted(set(per_query["length"]))
    mean = {
        (pool, length): np.mean(by_query(per_query, pool=pool, length=length)) for pool in pools for length in lengths
    }
    pairs = {}
    for pool in pools[1:]:
        for length in lengths:
            pairs[f"At L = {length}", pool] = tuple(
                by_query(per_query, pool=one, length=length) for one in (pool, pools[0])
            )
        if over[1:]:
            rows = ([by_query(per_query, pool=one, length=length) for length in over] for one in (pool, pools[0]))
            pairs["In the slope", pool] = tuple(list(map(float, inference.slopes(np.array(one), over))) for one in rows)
    truth = expected(pairs)
    seen = set()
    for claim in said:
        seen.add(type(claim).__name__ + getattr(claim, "place", ""))
        if isinstance(claim, values.Reach):
            assert (claim.length, claim.shortest) == (lengths[-1], lengths[0])
            assert [one.pool for one in claim.pools] == pools
            for one in claim.pools:
                assert one.value == pytest.approx(mean[one.pool, lengths[-1]])
                assert f"{one.pool} {one.value:.4f}" in claim.text
                base = mean[one.pool, lengths[0]]
                if one.retained is not None and base > 0:
                    assert one.retained == pytest.approx(mean[one.pool, lengths[-1]] / base)
            assert ("of its value" in claim.text) == (
                len(lengths) > 1 and any(mean[one, lengths[0]] > 0 for one in pools)
            )
        elif isinstance(claim, values.Slopes):
            assert claim.over == (over[0], over[-1]) and [pool for pool, _ in claim.pools] == pools
            for pool, slope in claim.pools:
                assert slope == pytest.approx(np.polyfit(np.log2(over), [mean[pool, one] for one in over], 1)[0])
        else:
            check_verdict(claim, [one for (place, _), one in truth.items() if place == claim.place])
    wanted = {"Reach"} | ({"Slopes"} if over[1:] else set())
    assert seen == wanted | {
        f"Verdict{place}" for place, _ in truth if place in ("In the slope", f"At L = {lengths[-1]}")
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_an_attack_is_true(seed):
    random = np.random.default_rng(seed)
    pools, counts = POOLS[: random.integers(1, 5)], [0, 5, 40][: random.integers(1, 4)]
    keys = {
        "dataset": ["d"],
        "checkpoint": ["c"],
        "inject": ["hard"],
        "count": counts,
        "pool": pools,
        "measure": ["R@1", "hijack_rate"],
    }
    per_query = table(random, keys, "count", int(random.choice(SIZES))).astype({"count": int})
    silent = (per_query["measure"] == "hijack_rate") & (per_query["pool"] == pools[-1])
    per_query.loc[silent & (seed % 2 == 0), "value"] = math.nan
    summary = tables.summarise_stress(per_query, random)
    said = findings.attack(summary, tables.compare_losses(per_query, pools)) + findings.hijack(summary)
    check_words(said)
    value = {
        (pool, count): by_query(per_query, pool=pool, count=count, measure="R@1") for pool in pools for count in counts
    }
    change = {
        (pool, count): [a - b for a, b in zip(value[pool, count], value[pool, 0], strict=True)]
        for pool in pools
        for count in counts
    }
    truth = expected(
        {
            (f"At K = {count}", pool): (change[pool, count], change[pools[0], count])
            for pool in pools[1:]
            for count in counts[1:]
        }
    )
    last = counts[-1]
    for claim in said:
        if isinstance(claim, values.Attack):
            assert claim.count == last and [one.pool for one in claim.pools] == pools
            assert last or claim.text == "Nothing was injected: every count is 0."
            for one in claim.pools if last else ():
                base, now = np.mean(value[one.pool, 0]), np.mean(value[one.pool, last])
                assert math.isnan(one.retained) == (base <= 0) and one.value == pytest.approx(now)
                text = f"{now / base:.0%}" if base > 0 else f"{now:.4f}"
                assert f"{one.pool} {text}" in claim.text
        elif isinstance(claim, values.Gains):
            rows = summary[(summary["count"] == last) & (summary["retained_low"] > 1)]
            assert claim.pools == tuple(rows["pool"]) and rows["retained"].gt(1).all()
        elif isinstance(claim, values.Hijack):
            for pool, rate in claim.pools:
                rates = by_query(per_query, pool=pool, count=last, measure="hijack_rate")
                assert rate is None if math.isnan(rates[0]) else rate == pytest.approx(np.mean(rates))
        else:
            check_verdict(claim, [one for (place, _), one in truth.items() if place == f"At K = {last}"])
    assert any(isinstance(one, claims.Verdict) for one in said) == bool(pools[1:] and counts[1:])


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_gradients_is_true(seed):
    random = np.random.default_rng(seed)
    pools, size = POOLS[: random.integers(1, 5)], int(random.choice(SIZES))
    gini = table(random, {"pool": pools, "length": [8]}, "length", size).rename(columns={"value": "gini"})
    if seed % 3 == 0:
        gini.loc[random.integers(0, len(gini)), "gini"] = math.nan  # a gradient that is zero throughout
    rows = gini.groupby("pool", sort=False)["gini"].mean().reset_index().assign(length=8)
    rows = rows.assign(gini_low=rows["gini"] - 0.01, gini_high=rows["gini"] + 0.01)
    said = findings.concentration(rows, gradients.compare(gini, pools))
    check_words(said, ranked=True)
    value = {pool: gini[gini["pool"] == pool]["gini"].tolist() for pool in pools}
    truth = expected({(a, b): (value[b], value[a]) for a, b in itertools.combinations(pools, 2)})
    told = {pair for pair, one in truth.items() if one.p is not None and one.p < 0.05}
    for claim in said:
        if isinstance(claim, claims.Order):
            assert len(told) == len(truth) > 0
            for more, less in itertools.combinations(claim.pools, 2):
                assert np.nanmean(value[more]) > np.nanmean(value[less])
            assert claim.p == pytest.approx(max(one.p for one in truth.values()))
        elif isinstance(claim, claims.Verdict):
            assert len(told) < len(truth)
            check_verdict(claim, [one for (base, _), one in truth.items() if base == claim.baseline])
    assert len(said) == 1 + (0 if not truth else 1 if len(told) == len(truth) else len(pools) - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_a_comparison_is_true(seed):
    random = np.random.default_rng(seed)
    size, runs = int(random.choice(SIZES)), ["a", "b", "c"][: random.integers(2, 4)]
    keys = {"run": runs, "measure": ["R@1"], "arm": ["pad"], "pool": POOLS[:2], "length": [8, 16]}
    per_query = table(random, keys, "length", size)
    for at in range(len(per_query) // len(runs)):  # like the first run's, as pools are like the first pool's
        if random.random() < 0.5:
            for number in range(1, len(runs)):
                row = at + number * len(per_query) // len(runs)
                per_query.loc[row, "value"] = per_query.loc[at, "value"]
    tests = comparison.compare(per_query, "eval", "a")
    said = findings.compared(tests, "a")
    assert [claim.run for claim in said] == runs[1:]
    cells = [(pool, length) for pool in POOLS[:2] for length in (8, 16)]
    pairs = {}
    for run in runs[1:]:
        for pool, length in cells:
            pairs[(run, pool, length), run] = tuple(
                by_query(per_query, run=one, pool=pool, length=length) for one in (run, "a")
            )
        for pool in POOLS[:2]:
            rows = (
                [by_query(per_query, run=one, pool=pool, length=length) for length in (8, 16)] for one in (run, "a")
            )
            pairs[(run, pool, "slope"), run] = tuple(
                list(map(float, inference.slopes(np.array(one), [8, 16]))) for one in rows
            )
    truth = expected(pairs)
    for claim in said:
        mine = [truth[(claim.run, *cell), claim.run] for cell in cells]
        told = [one for one in mine if one.p is not None and one.p < 0.05]
        assert claim.cells == 4 and claim.tested == sum(one.p is not None for one in mine)
        assert claim.ahead == sum(one.difference > 0 for one in told)
        assert claim.behind == sum(one.difference < 0 for one in told)
        largest = max((told or mine), key=lambda one: abs(one.difference)).difference
        assert abs(claim.largest[0]) == pytest.approx(abs(largest), abs=1e-12)
        assert ("significantly ahead" in claim.text) == bool(told)
        assert ("none of 4 cells could be tested" in claim.text) == (not claim.tested)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_said_of_the_studys_claims_is_true(seed):
    random = np.random.default_rng(seed)
    seeds, lengths = int(random.choice([1, 2, 3, 12])), [8, 32]
    rows = []
    for pool in ("maxsim", "softmax:1.0", "topk:4"):
        for length in (*lengths, "slope"):
            values_ = drawn(random, seeds, np.array([one["value"] for one in rows[-seeds:]]) if rows else None)
            rows += [
                {
                    "pool": pool,
                    "measure": "recall",
                    "split": "heldout",
                    "epoch": "",
                    "length": "" if length == "slope" else str(length),
                    "statistic": "slope" if length == "slope" else "value",
                    "inject": "",
                    "count": "",
                    "train_length": 8,
                    "support": 4,
                    "seed": at,
                    "value": value,
                }
                for at, value in enumerate(values_.tolist())
            ]
        rows += [
            {
                **rows[-1],
                "measure": "gini",
                "split": "train",
                "epoch": "5",
                "length": "",
                "statistic": "value",
                "seed": at,
                "value": float(random.random()),
            }
            for at in range(seeds)
        ]
    table_ = pd.DataFrame(rows)
    tests = analysis.compare(table_, ["maxsim", "softmax:1.0", "topk:4"])
    found = judged(tests.assign(operator=tests["pool"]), lengths)
    assert set(found) == {"softmax:1.0", "topk:4"}
    for operator, verdicts in found.items():
        for one in verdicts:
            place = {"measure": "gini"} if "concentrates" in one.claim else {"measure": "recall", "statistic": "slope"}
            if (at := re.search(r"M = (\d+)", one.claim)) is not None:
                place = {"measure": "recall", "length": at.group(1)}
            row = tests[
                np.logical_and.reduce([tests[name] == value for name, value in place.items()])
                & (tests["pool"] == operator)
            ].iloc[0]
            mean = {
                pool: np.mean(by_query(table_.rename(columns={"seed": "query_id"}), pool=pool, **place))
                for pool in (operator, "maxsim")
            }
            higher = mean[operator] > mean["maxsim"]
            wanted = higher if re.search("ahead|falls faster", one.claim) else not higher
            if pd.isna(row["p_holm"]):
                assert one.word == "not tested"
            elif row["p_holm"] >= 0.05:
                assert one.word == "no difference seen"
            else:
                assert one.word == ("holds" if wanted else "the contrary holds")
            assert "nan" not in one.numbers


@pytest.mark.parametrize(
    ("recall", "words"),
    [
        (0.93, "93.0% of the relevant documents: reranking cannot exceed a recall of 0.930"),
        (0.99999, "99.9990000% of the relevant documents"),
        (1.0, "hold every relevant document"),
    ],
)
@pytest.mark.parametrize("source", ["faiss Flat", "exact"])
def test_the_candidate_ceiling_is_said(recall, words, source):
    [claim] = findings.ceiling({"source": source, "depth": 100, "recall": recall})
    assert words in claim.text and "the 100" not in claim.text
    assert ("all documents are scored" if source == "exact" else "at most 100 per query") in claim.text


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "p < 0.001"), (0.0496, "p < 0.05"), (0.0504, "p = 0.05"), (1, "p = 1")]
)
def test_a_printed_p_is_on_the_side_of_the_level_that_it_is_on(p, text):
    assert claims.p_text(p) == text


def test_a_difference_that_prints_as_zero_keeps_its_sign():
    assert [claims.signed(one) for one in (0.0, -0.00001, 0.25)] == ["+0.0000", "-1.0e-05", "+0.2500"]
