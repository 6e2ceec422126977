"""What tests say, as claims: small records whose fields can be checked against the tables, and whose text says no more.

A pool's name stands as it is written, and pools are ranked only where tests tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.reports.content import decimals
from harness.statistics.inference import FEWEST

LEVEL = 0.05  # of the Holm-corrected p
SHOWN = 6  # pools whose numbers a sentence lists


def rule(unit: str = "queries") -> str:
    """When nothing is tested, for the legends."""
    return f"Where fewer than {FEWEST} {unit} differ (or, with fewer {unit}, not all of them), nothing is tested."


def needed(n: int) -> str:
    """How many of n must differ for a test."""
    return str(FEWEST) if n >= FEWEST else "all"


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def few(parts: Sequence[str]) -> str:
    """Parts with commas, those after the first few counted."""
    more = len(parts) - SHOWN
    return ", ".join(parts[:SHOWN]) + (f" (and {more} more in the table)" if more > 0 else "")


def p_text(p: float) -> str:
    """``p = 0.013``, or ``p < 0.001``; never 0.05 of what is below it."""
    if p < 0.001:
        return "p < 0.001"
    shown = f"{p:.2g}"
    return f"p < {LEVEL}" if p < LEVEL <= float(shown) else f"p = {shown}"


def signed(value: float) -> str:
    """Four decimals with a sign; more where these would be zeros only."""
    return f"{value:+.1e}" if 0 < abs(value) < 0.00005 else decimals(value, "+")


@dataclass(frozen=True)
class Claim:
    """One sentence or a few, made of its fields."""

    @property
    def text(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Tested:
    """One row of the tests. p: Holm-corrected, None where nothing was tested."""

    pool: str
    difference: float
    p: float | None
    n: int
    wins: int
    losses: int

    @property
    def equal(self) -> bool:
        return self.n > 0 and self.wins + self.losses == 0

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p < LEVEL

    @property
    def numbers(self) -> str:
        """The difference with its p, or with how often it is which."""
        if self.p is not None:
            return f"{signed(self.difference)}, {p_text(self.p)}"
        return f"{signed(self.difference)}, {self.wins} better and {self.losses} worse of {self.n:,}"

    def why(self, unit: str) -> str:
        """Why nothing was tested."""
        if not self.n:
            return f"it is undefined for all {unit}"
        if self.wins + self.losses < min(self.n, FEWEST):
            return f"a test needs {needed(self.n)} {unit} to differ"
        return "the differences have no spread"


@dataclass(frozen=True)
class Verdict(Claim):
    """What the paired tests against the baseline say at one place: a slope, a length or a count.

    better, worse, same: the words for a positive, a negative and no difference.
    """

    place: str
    baseline: str
    tests: tuple[Tested, ...]
    better: str = "higher than"
    worse: str = "lower than"
    same: str = "equal to"
    unit: str = "queries"

    @property
    def text(self) -> str:
        groups = {
            f"significantly {self.better}": [one for one in self.tests if one.significant and one.difference > 0],
            f"significantly {self.worse}": [one for one in self.tests if one.significant and one.difference < 0],
            "not told apart from": [one for one in self.tests if one.p is not None and not one.significant],
        }
        named = {f"{words} {self.baseline}": tests for words, tests in groups.items()}
        for one in self.tests:
            if one.p is None and not one.equal:
                named.setdefault(f"not tested against {self.baseline}, for {one.why(self.unit)}", []).append(one)
        parts = [
            f"{words}: {', '.join(f'{one.pool} ({one.numbers})' for one in tests)}"
            for words, tests in named.items()
            if tests
        ]
        if same := [one.pool for one in self.tests if one.equal]:
            parts.append(f"{self.same} {self.baseline} for all {self.unit}: {', '.join(same)}")
        how = " (p is Holm-corrected)" if any(one.p is not None for one in self.tests) else ""
        return f"{self.place}, {'; '.join(parts)}{how}."


@dataclass(frozen=True)
class Order(Claim):
    """Pools from the most to the least concentrated, where every two differ; p: the largest of their tests."""

    pools: tuple[str, ...]
    p: float

    @property
    def text(self) -> str:
        return f"Every two pools differ (largest Holm-corrected {p_text(self.p)}): {' > '.join(self.pools)}."


@dataclass(frozen=True)
class Ahead(Claim):
    """A run against the baseline of a comparison: in how many cells it differs.

    n: queries; differ: the most that differ in a cell; largest: (difference, where), of what is significant if any is.
    """

    run: str
    baseline: str
    ahead: int
    behind: int
    tested: int
    cells: int
    n: int
    differ: int
    largest: tuple[float, str]

    @property
    def text(self) -> str:
        of = f"Run {self.run} against {self.baseline}"
        largest = f"the largest difference is {signed(self.largest[0])} ({self.largest[1]})"
        if not self.tested:
            why = f"{self.differ:,} of {self.n:,} queries differ at most, and a test needs {needed(self.n)} to differ"
            why = "the differences have no spread" if self.differ >= min(self.n, FEWEST) else why
            return f"{of}: none of {self.cells} cells could be tested, for {why}; {largest}."
        untested = self.cells - self.tested
        rest = f" ({untested} more could not be tested)" if untested else ""
        if not self.ahead + self.behind:
            return f"{of}: none of {self.tested} cells tested{rest} differs significantly; {largest}."
        return (
            f"{of}: of {self.tested} cells tested{rest}, {self.ahead} significantly ahead and {self.behind}"
            f" behind (Holm-corrected p < {LEVEL}); of these {largest}."
        )
