"""The study that ``harness synth`` repeats: its published figures, and which of its claims a run's tests bear out."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from harness.records import SLOPE
from harness.reports.claims import Tested, p_text
from harness.reports.findings import tested
from harness.worlds.analysis import UNIT

PUBLISHED = {
    "maxsim": ("0.78", "0.33–0.38"),
    "topk:4": ("0.45", "0.33–0.38"),
    "softmax:1.0": ("0.18", "clearly lower"),
}
"""By pool the Gini after training, and held-out Recall@1."""


def labelled(summary: pd.DataFrame) -> pd.DataFrame:
    """With a column ``operator``: the pool, and, where a study has several, the training length M and the support K."""
    names = summary["pool"].astype(str)
    for name in (name for name in UNIT if summary[name].nunique() > 1):
        names = names + f", {({'train_length': 'M', 'support': 'K'})[name]} = " + summary[name].astype(str)
    return summary.assign(operator=names)


def at(table: pd.DataFrame, operator: str, **place: object) -> pd.DataFrame:
    """Rows of one operator at a place, such as measure="gini", epoch=100."""
    table = table[table["operator"] == operator]
    for column, value in place.items():
        table = table[table[column].astype(str) == str(value)]
    return table


@dataclass(frozen=True)
class Verdict:
    """What a test says of a claim: holds, the contrary holds, no difference seen, not tested.

    sign: of the difference that the claim expects; test: None where there is none.
    """

    claim: str
    sign: int
    test: Tested | None = None
    interval: str = ""

    @property
    def word(self) -> str:
        if self.test is None or self.test.p is None:
            return "not tested"
        if not self.test.significant:
            return "no difference seen"
        return "holds" if self.test.difference * self.sign > 0 else "the contrary holds"

    @property
    def numbers(self) -> str:
        """The paired difference with its interval and corrected p, or why it was not tested."""
        if self.test is None:
            return " (no seed has both values)"
        if self.test.p is None:
            return f" ({self.test.numbers}: {self.test.why('seeds')})"
        return f" ({self.test.difference:+.3f} {self.interval}, Holm-corrected {p_text(self.test.p)})"


def judged(tests: pd.DataFrame, lengths: list[int]) -> dict[str, list[Verdict]]:
    """By operator the study's claims of it against MaxSim."""
    against, verdicts = tests[tests["baseline"] == "maxsim"], {}
    for operator in dict.fromkeys(against["operator"]):
        recall: dict[str, object] = {"measure": "recall", "split": "heldout"}
        claims: dict[str, tuple[int, dict[str, object]]] = {
            "maxsim concentrates gradients more": (-1, {"measure": "gini"}),
            "maxsim falls faster as documents grow (slope)": (+1, recall | {"statistic": SLOPE}),
        }
        if operator.startswith("softmax"):
            claims |= {f"softmax is lower at M = {one}": (-1, recall | {"length": one}) for one in lengths}
        else:
            claims[f"it is ahead at M = {max(lengths)}"] = (+1, recall | {"length": max(lengths)})
        verdicts[operator] = [
            verdict(claim, at(against, operator, **place), sign) for claim, (sign, place) in claims.items()
        ]
    return verdicts


def verdict(claim: str, rows: pd.DataFrame, sign: int) -> Verdict:
    """A claim and the test of it."""
    if not len(rows):
        return Verdict(claim, sign)
    row = rows.iloc[0]
    return Verdict(claim, sign, tested(rows)[0], f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]")
