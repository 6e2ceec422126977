"""Measures by name and by query: ir_measures does the measuring."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import ir_measures
import pandas as pd

from harness.errors import OptionError, unknown
from harness.records import Qrel, ScoredDoc

COMMON = ("AP", "ERR@10", "Judged@10", "P@10", "R@10", "RR@10", "Rprec", "Success@10", "nDCG", "nDCG@10")


def parse(name: str) -> ir_measures.Measure:
    """The measure an ir_measures name means, such as ``nDCG@10``. Raises OptionError with a suggestion."""
    try:
        measure = ir_measures.parse_measure(name)
        supported = ir_measures.DefaultPipeline.supports(measure)
    except Exception:  # the parser raises whatever its grammar and its constructors do
        family, _, _ = name.partition("@")
        if family in ir_measures.measures.registry:
            raise OptionError(f"measure {name!r} lacks a whole-number cutoff; write it as {family}@10") from None
        raise OptionError(unknown("measure", name, COMMON)) from None
    if "@" in name and not name.startswith("IPrec@") and not (cutoff(name) or 0) >= 1:
        raise OptionError(
            f"measure {name!r}: the cutoff must be a whole number from 1 on, as in {name.split('@')[0]}@10"
        )
    if not supported:
        raise OptionError(f"measure {name!r} has no provider installed; try one of {', '.join(COMMON)}")
    return measure


def cutoff(name: str) -> int | None:
    """How deep a ranking the measure looks at, or None for all of it."""
    found = re.search(r"@(\d+)$", name)
    return int(found.group(1)) if found else None


def per_query(measures: Sequence[str], qrels: Sequence[Qrel], run: Iterable[ScoredDoc]) -> pd.DataFrame:
    """Rows ``measure, query_id, value`` for every judged query; a query without a document counts 0."""
    parsed = {parse(name): name for name in measures}
    by_query: dict[str, dict[str, float]] = {}  # what ir_measures would make of the run, made faster
    for query_id, doc_id, score in run:
        by_query.setdefault(query_id, {})[doc_id] = score
    found = ir_measures.iter_calc(list(parsed), qrels, by_query)
    rows = [(parsed[metric.measure], metric.query_id, float(metric.value)) for metric in found]
    table = pd.DataFrame(rows, columns=["measure", "query_id", "value"])
    judged = sorted({qrel.query_id for qrel in qrels})
    whole = pd.MultiIndex.from_product([measures, judged], names=["measure", "query_id"])
    return table.set_index(["measure", "query_id"]).reindex(whole, fill_value=0.0).reset_index()
