"""What the tables hold, as claims: every pool's value where it matters, without a ranking."""

from __future__ import annotations

from dataclasses import dataclass

from harness.reports.claims import Claim, few, listed
from harness.reports.content import decimals, interval, share


@dataclass(frozen=True)
class Ceiling(Claim):
    """What the candidates allow. recall: mean over queries of the share of relevant documents among them."""

    source: str
    depth: int
    recall: float

    @property
    def text(self) -> str:
        exact = self.source == "exact"
        scope = "all documents are scored for every query" if exact else f"at most {self.depth:,} per query"
        sentence = f"Candidates: {scope}" + ("; they hold" if exact else f", from {self.source}, hold")
        if self.recall >= 1:
            return f"{sentence} every relevant document, so that reranking can find all of them."
        places = 3 if self.recall < 0.9995 else 9
        return (
            f"{sentence}, on average over queries, {self.recall:.{places - 2}%} of the relevant documents: reranking"
            f" cannot exceed a recall of {self.recall:.{places}f}."
        )


@dataclass(frozen=True)
class Reached:
    """A pool's mean and its interval; retained: the share of the value at the shortest length, None at that length."""

    pool: str
    value: float
    low: float
    high: float
    retained: float | None = None


@dataclass(frozen=True)
class Reach(Claim):
    """Every pool's value at the longest length of an arm."""

    arm: str
    measure: str
    length: int
    shortest: int
    pools: tuple[Reached, ...]

    @property
    def text(self) -> str:
        parts, of = [], f" of its value at L = {self.shortest}"
        for one in self.pools:
            left = "" if one.retained is None or one.retained != one.retained else f", {share(one.retained)}{of}"
            parts.append(f"{one.pool} {decimals(one.value)} ({interval(one.low, one.high)}{left})")
            of = "" if left else of
        return f"Arm {self.arm}, {self.measure} at L = {self.length}: {few(parts)}."


@dataclass(frozen=True)
class Slopes(Claim):
    """Every pool's change for each doubling of the length. over: the shortest and the longest length it is over."""

    over: tuple[int, int]
    pools: tuple[tuple[str, float], ...]

    @property
    def text(self) -> str:
        parts = [f"{pool} {decimals(slope, '+')}" for pool, slope in self.pools]
        return f"Change for each doubling of L from {self.over[0]} to {self.over[1]}: {few(parts)}."


@dataclass(frozen=True)
class Retained:
    """A pool's share of its value without injection: retained is NaN where that is 0."""

    pool: str
    retained: float
    low: float
    high: float
    value: float


@dataclass(frozen=True)
class Attack(Claim):
    """Every pool's share retained at the largest count of one kind of injection."""

    inject: str
    measure: str
    count: int
    pools: tuple[Retained, ...]

    @property
    def text(self) -> str:
        if not self.count:
            return "Nothing was injected: every count is 0."
        head = f"Injection {self.inject}, {self.measure} with K = {self.count}"
        parts = []
        if real := [one for one in self.pools if one.retained == one.retained]:
            shares = (
                share(one.retained) + (f" ({text})" if (text := interval(one.low, one.high, True)) else "")
                for one in real
            )
            named = [f"{one.pool} {text}" for one, text in zip(real, shares, strict=True)]
            parts.append(f"share left of the value without injection: {few(named)}")
        if none := [one for one in self.pools if one.retained != one.retained]:
            left = [f"{one.pool} {decimals(one.value)}" for one in none]
            parts.append(f"value with injection where it is 0 without: {few(left)}")
        return f"{head}, {'; '.join(parts)}."


@dataclass(frozen=True)
class Gains(Claim):
    """Pools whose share retained has an interval above 1."""

    pools: tuple[str, ...]

    @property
    def text(self) -> str:
        return (
            f"The 95 % interval is above 100 % of {listed(self.pools)}: only documents that are not relevant are"
            " injected into."
        )


@dataclass(frozen=True)
class Hijack(Claim):
    """The share of every pool's selection that injected patches hold; None where a pool cannot tell."""

    inject: str
    count: int
    pools: tuple[tuple[str, float | None], ...]

    @property
    def text(self) -> str:
        known = [f"{pool} {share(rate, 1)}" for pool, rate in self.pools if rate is not None]
        if not known:
            return "No pool of this run can tell which part of its selection is injected."
        sentence = f"Share of the selection that {self.inject} patches hold with K = {self.count}: {few(known)}"
        unknown = [pool for pool, rate in self.pools if rate is None]
        return sentence + (f"; unknown of {listed(unknown)}." if unknown else ".")


@dataclass(frozen=True)
class Ginis(Claim):
    """Every pool's Gini at one length: (pool, mean, low, high)."""

    length: int
    pools: tuple[tuple[str, float, float, float], ...]

    @property
    def text(self) -> str:
        parts = [
            f"{pool} {decimals(value)}" + (f" ({text})" if (text := interval(low, high)) else "")
            for pool, value, low, high in self.pools
        ]
        return f"Gini of patch gradients at L = {self.length}: {few(parts)}."
