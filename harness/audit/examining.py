"""Look for a case that breaks each law, and make the first one found as small as it gets."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.aggregators import AGGREGATORS
from harness.audit.cases import Case, narrow, number, smaller, text
from harness.audit.laws import LAWS, Expected, Law, Mismatch, NotApplicable, Score, ScorerError
from harness.audit.scorers import Scorer, load
from harness.errors import OptionError, first_line

TRIES = 600  # smaller cases tried, a law


@dataclass(frozen=True)
class Counterexample:
    """A case that breaks a law; either what differs, or the error that the scorer raised."""

    case: Case
    mismatch: Mismatch | None
    error: str = ""

    def __str__(self) -> str:
        """``query [[1.0]], documents [[-1.0]] and [[1.0], [1.0]]: expected -1.0, got 0.0 …``"""
        if self.mismatch is None:
            return f"{text(self.case)}: {self.error}"
        found = self.mismatch
        whose = f" for document {found.document + 1}" if len(self.case.documents) > 1 else ""
        expected, got = number(found.expected), number(found.got)
        if expected == got:
            expected, got = number(found.expected, 12), number(found.got, 12)
        return f"{text(self.case)}: expected {expected}{whose}, got {got} {found.how}".rstrip()

    def record(self) -> dict[str, Any]:
        """As JSON has it; document counts from 0, numbers that are none are text."""
        found, case = self.mismatch, self.case
        made: dict[str, Any] = {"text": str(self), "query": case.query.tolist()}
        made["documents"] = [document.tolist() for document in case.documents]
        if found is None:
            return made | {"error": self.error}
        values = {"expected": found.expected, "got": found.got}
        plain = {key: one if math.isfinite(one) else str(one) for key, one in values.items()}
        return made | {"document": found.document, **plain, "how": found.how}


@dataclass(frozen=True)
class Result:
    """result: pass, fail or n/a; note: why a law is not applicable."""

    law: Law
    result: str
    counterexample: Counterexample | None = None
    note: str = ""

    @property
    def words(self) -> str:
        return str(self.counterexample or self.note)


@dataclass(frozen=True)
class Audit:
    target: str
    pool: str
    results: tuple[Result, ...]

    @property
    def holds(self) -> bool:
        return not self.failed

    @property
    def failed(self) -> list[Result]:
        return [one for one in self.results if one.result == "fail"]

    @property
    def summary(self) -> str:
        applicable = sum(one.result != "n/a" for one in self.results)
        return f"{applicable - len(self.failed)} of {applicable} laws hold for {self.target} as {self.pool}."

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        checks = [
            {
                "check": one.law.name,
                "claim": one.law.claim,
                "result": one.result,
                "note": one.note,
                "counterexample": one.counterexample and one.counterexample.record(),
            }
            for one in self.results
        ]
        return {"target": self.target, "pool": self.pool, "holds": self.holds, "checks": checks}


def audit(target: str | Scorer, pool: str = "maxsim", dim: int | None = None) -> Audit:
    """Every law against a scorer: an adapter's name, ``package.module:function``, or the function itself.

    pool: the operator the scorer claims to be; dim: dimensions of all vectors, for scorers that take no other. Raises
    OptionError on a target that cannot be loaded.
    """
    if dim is not None and dim < 1:
        raise OptionError(f"dim {dim} must be at least 1")
    expected = reference(pool)
    with contextlib.redirect_stdout(sys.stderr):  # what the package prints is not the audit's
        scorer = load(target, pool) if isinstance(target, str) else target
        score = guarded(scorer, dim)
        results = tuple(examine(law, score, expected, dim) for law in LAWS.values())
    return Audit(target if isinstance(target, str) else getattr(target, "__name__", str(target)), pool, results)


def examine(law: Law, score: Score, expected: Expected, dim: int | None = None) -> Result:
    """One law over its cases, until one breaks it."""
    try:
        for case in law.cases():
            if found := breaking(law, narrow(case, dim) if dim else case, score, expected):
                return Result(law, "fail", shrink(found, lambda case: breaking(law, case, score, expected)))
    except NotApplicable as reason:
        return Result(law, "n/a", note=str(reason))
    return Result(law, "pass")


def breaking(law: Law, case: Case, score: Score, expected: Expected) -> Counterexample | None:
    try:
        mismatch = law.breaks(score, case, expected)
    except ScorerError as error:
        return Counterexample(case, None, str(error))
    return Counterexample(case, mismatch) if mismatch else None


def shrink(smallest: Counterexample, breaks: Callable[[Case], Counterexample | None]) -> Counterexample:
    """The smallest counterexample of the same kind, wrong score or error, that cuts and plainer numbers lead to."""
    left = TRIES
    while left > 0:
        for case in smaller(smallest.case):
            left -= 1
            better = None
            with contextlib.suppress(NotApplicable):
                better = breaks(case)
            if better and (better.mismatch is None) == (smallest.mismatch is None):
                smallest = better
                break
            if left <= 0:
                break
        else:
            return smallest
    return smallest


def guarded(scorer: Scorer, dim: int | None = None) -> Score:
    """The scorer on copies of the arrays, so that it may write into them; whatever it raises is a ScorerError."""

    def own(vectors: np.ndarray) -> np.ndarray:  # dimensions that a case lacks are zero
        made = np.zeros((len(vectors), dim or vectors.shape[1]), vectors.dtype)
        made[:, : vectors.shape[1]] = vectors
        return made

    def score(query: np.ndarray, documents: Iterable[np.ndarray]) -> np.ndarray:
        given = [own(document) for document in documents]
        count = len(given)
        try:
            scores = scorer(own(query), given)
            values = np.array([float(one) for one in (scores.tolist() if hasattr(scores, "tolist") else scores)])
        except Exception as error:
            raise ScorerError(f"raised {type(error).__name__}: {first_line(error)}") from None
        if len(values) != count:
            raise ScorerError(f"returned {len(values)} scores for {count} documents")
        return values

    return score


def reference(pool: str) -> Expected:
    """The scores an operator's spec stands for, in a loop over documents and tokens in float64."""
    operator = AGGREGATORS.make(pool)

    def pooled(sims: np.ndarray) -> float:  # (p)
        if str(operator) == "maxsim":  # needs no torch, which the scorer's environment may lack
            return float(sims.max())
        import torch

        return float(operator(torch.from_numpy(sims)[None]))

    def expected(query: np.ndarray, documents: Iterable[np.ndarray]) -> np.ndarray:
        wide = [document.astype(np.float64) for document in documents]
        return np.array([sum(pooled(one @ token) for token in query.astype(np.float64)) for one in wide])

    return expected
