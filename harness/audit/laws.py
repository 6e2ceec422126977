"""What holds for every correct late-interaction scorer, one function a law.

A law takes ``score``, a case and the expected values; it returns what differs, or None where all is well or the case is
none of its own. To add one, write a function here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from harness.audit.cases import Case, ending, real, small

Score = Callable[[np.ndarray, Iterable[np.ndarray]], np.ndarray]
"""Query (t, d) and n documents (p, d) → scores float64 (n). Raises ScorerError."""

Expected = Callable[[np.ndarray, Iterable[np.ndarray]], np.ndarray]
"""The same of the operator that the scorer claims to be, in float64."""

CLOSE = 1e-4  # a query token; similarities of unit vectors are at most 1
EQUAL = 1e-6  # a query token, of what differs in nothing but its place
HALF = 1e-2  # of a whole score: beyond that, neighbours in a ranking change places
LENGTHS = (1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 512, 513, 1024, 2000)


class ScorerError(Exception):
    """The scorer raised, or returned something other than one score a document. Its text is one line."""


class NotApplicable(Exception):
    """A law says nothing of this scorer; the text says why."""


@dataclass(frozen=True)
class Mismatch:
    """document: position in the case, from 0; how: what was done when the score was not the expected one."""

    document: int
    expected: float
    got: float
    how: str = ""


Breaks = Callable[[Score, Case, Expected], Mismatch | None]


@dataclass(frozen=True)
class Law:
    """claim: one sentence; breaks: the test; cases: where to look, small ones first."""

    name: str
    claim: str
    breaks: Breaks
    cases: Callable[[], Iterable[Case]]


LAWS: dict[str, Law] = {}


def law(name: str, cases: Callable[[], Iterable[Case]]) -> Callable[[Breaks], Breaks]:
    """Register a law under the name it is shown by; the first paragraph of its docstring is the claim."""

    def add(breaks: Breaks) -> Breaks:
        claim = " ".join((inspect.getdoc(breaks) or "").split("\n\n")[0].split())
        LAWS[name] = Law(name, claim, breaks, cases)
        return breaks

    return add


def furthest(expected: np.ndarray, got: np.ndarray, allowed: float, how: str = "") -> Mismatch | None:
    """The score furthest from what is expected, if that is more than allowed; not-a-number is furthest of all."""
    off = np.abs(got - expected)
    off[np.isnan(off)] = np.inf
    at = int(off.argmax())
    return Mismatch(at, float(expected[at]), float(got[at]), how) if off[at] > allowed else None


@law("value", lambda: [*small([1], [2], [1, 2], [3, 1]), *real(8, 16, [1, 5, 40]), *real(32, 128, [180, 17], 1)])
def value(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """A score is the sum over query tokens of the operator over all of the document's patches."""
    got = score(case.query, case.documents)
    return furthest(expected(case.query, case.documents), got, CLOSE * case.tokens)


@law("negative similarities", lambda: [*small([1], [2], [3]), *real(8, 16, [5], -1), *real(32, 128, [180], -1)])
def negative(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """Similarities below zero count as they are: zero is no floor."""
    if len(case.documents) > 1 or (case.query @ case.documents[0].T).max() >= 0:
        return None
    return furthest(expected(case.query, case.documents), score(case.query, case.documents), CLOSE * case.tokens)


@law("companions", lambda: [*small([1, 1], [2, 2], [2, 2, 2]), *real(8, 16, [6] * 9), *real(4, 8, [3] * 300, 0, 1)])
def companions(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """Among documents of equal length a score depends neither on which others are scored with it, nor on how many."""
    return together(score, case) if len(set(case.patches)) == 1 else None


@law(
    "padding",
    lambda: [
        *small([1, 2], [2, 1], [1, 3], [2, 1, 3]),
        *real(8, 16, [2, 60, 5], -1),
        *real(32, 128, [4, 200], -1),
        *real(4, 8, [1 + at % 7 for at in range(300)], -1, 1),
    ],
)
def padding(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """A document beside a longer one scores as it does alone: padding is invisible."""
    return together(score, case) if len(set(case.patches)) > 1 else None


def together(score: Score, case: Case) -> Mismatch | None:
    """All documents in one call against each half, and against up to four of them alone."""
    count = len(case.documents)
    alone = sorted(set(np.linspace(0, count - 1, min(count, 4)).astype(int).tolist()))
    parts = [[at] for at in alone] + [list(range(count // 2)), list(range(count // 2, count))] * (count > 2)
    whole = score(case.query, case.documents)
    for part in parts:
        apart = score(case.query, [case.documents[at] for at in part])
        how = "beside the others" if len(part) == 1 else f"beside {count - len(part)} more"
        if found := furthest(apart, whole[part], CLOSE * case.tokens, how):
            return Mismatch(part[found.document], found.expected, found.got, how)
    return None


@law("order of patches", lambda: [*small([2], [3], [4, 4]), *real(8, 16, [40, 40]), *real(32, 128, [200])])
def order_of_patches(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """The order of a document's patches changes nothing."""
    before = score(case.query, case.documents)
    reverse, rotate = [np.flip(one, 0) for one in case.documents], [np.roll(one, 1, 0) for one in case.documents]
    for how, documents in (("reversed", reverse), ("rotated by one", rotate)):
        after = score(case.query, documents)
        if found := furthest(before, after, CLOSE * case.tokens, f"with its patches {how}"):
            return found
    return None


@law("order of candidates", lambda: [*small([1, 1], [2, 2, 2]), *real(8, 16, [6] * 9), *real(32, 128, [40] * 3)])
def order_of_candidates(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """The order of the documents changes the order of the scores and nothing else."""
    if len(set(case.patches)) > 1:
        return None
    before, count = score(case.query, case.documents), np.arange(len(case.documents))
    for how, places in (("reversed", count[::-1]), ("rotated by one", np.roll(count, 1))):
        after = score(case.query, [case.documents[at] for at in places])
        if found := furthest(before, after[np.argsort(places)], CLOSE * case.tokens, f"with the documents {how}"):
            return found
    return None


@law("one patch", lambda: [*small([1], [1, 1], [1, 1, 1]), *real(8, 16, [1] * 5), *real(32, 128, [1], -1)])
def one_patch(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """With one patch a score is the sum of that patch's similarities, under any operator."""
    if set(case.patches) != {1}:
        return None
    sums = np.array([(case.query.astype(np.float64) @ document.T).sum() for document in case.documents])
    return furthest(sums, score(case.query, case.documents), CLOSE * case.tokens)


@law("long documents", lambda: [one for patches in LENGTHS for one in ending(3, 16, patches)])
def long_documents(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """From 1 to 2,000 patches every patch counts: nothing is cut off."""
    if len(case.documents) > 1:
        return None
    return furthest(expected(case.query, case.documents), score(case.query, case.documents), CLOSE * case.tokens)


@law("duplicates", lambda: [*small([1], [2], [2, 2]), *real(8, 16, [6] * 5), *real(32, 128, [40] * 2)])
def duplicates(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """Documents that are given twice score the same both times, and as if given once."""
    once, twice = score(case.query, case.documents), score(case.query, [*case.documents, *case.documents])
    if found := furthest(np.tile(once, 2), twice, CLOSE * case.tokens, "when all are given twice"):
        return Mismatch(found.document % len(once), found.expected, found.got, found.how)
    return None


@law("ties", lambda: [*small([1], [2, 1], [1, 2, 3]), *real(8, 16, [6, 1, 40]), *real(32, 128, [20, 33])])
def ties(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """Equal documents have equal scores, wherever they stand in the list."""
    scores = score(case.query, [*case.documents, case.documents[0]])
    return furthest(scores[:1], scores[-1:], EQUAL * case.tokens, "when given again at the end")


@law("half precision", lambda: [*real(8, 16, [5, 5], 1), *real(64, 2, [1], 1), *real(128, 128, [20] * 4, 1)])
def half_precision(score: Score, case: Case, expected: Expected) -> Mismatch | None:
    """Vectors in float16 lose less than 0.01 of a score: it is not summed up in float16."""
    query, *documents = (one.astype(np.float16) for one in (case.query, *case.documents))
    try:
        got = score(query, documents)
    except ScorerError as error:
        raise NotApplicable(f"float16 is refused: {error}") from None
    return furthest(expected(case.query, case.documents), got, HALF, "in float16")
