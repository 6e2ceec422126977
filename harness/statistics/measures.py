"""Measures by name and by query: ir_measures does the measuring.

Its providers see neither our ids nor our scores: trec_eval orders equal scores by the documents' ids, falling, MS
MARCO's script by the ids, rising, and gdeval takes what follows the last dash of a query's id for its number. So each
ranking is put in trec_eval's order here, and handed on as numbers: no value depends on a query's name, nor on who
computes it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import ir_measures
import numpy as np
import pandas as pd

from harness.errors import DataError, OptionError, first_line, unknown
from harness.records import Qrel, ScoredDoc

COMMON = ("AP", "ERR@10", "Judged@10", "P@10", "R@10", "RR@10", "Rprec", "Success@10", "nDCG", "nDCG@10")
HIGHEST = {"gdeval": 4}  # grade that a provider takes
TRIED = (  # every accepted measure is tried on these: judgments, and for each query what a ranking may hold
    [Qrel("1", "1", 1), Qrel("1", "2", 0), Qrel("2", "1", 2), Qrel("3", "1", 1), Qrel("4", "2", 1)],
    {"1": {"1": 3.0, "2": 2.0, "3": 1.0}, "2": {"1": 1.0}, "3": {"3": 1.0}},
)


def parse(name: str) -> ir_measures.Measure:
    """The measure an ir_measures name means, such as ``nDCG@10``. Raises OptionError with what to write instead."""
    try:
        return _accepted(name)
    except OptionError as error:
        reason = str(error)
    family = name.partition("@")[0].partition("(")[0].strip()
    if family not in ir_measures.measures.registry:
        raise OptionError(unknown("measure", name, COMMON))
    advice = f"try one of {', '.join(COMMON)}"
    for other in (family, f"{family}@10"):
        with contextlib.suppress(OptionError):
            advice = f"write it as {_accepted(other)}"
    raise OptionError(f"{reason}; {advice}")


@functools.lru_cache(maxsize=256)
def _accepted(name: str) -> ir_measures.Measure:
    """The measure, tried on a few rankings. Raises OptionError with what is wrong with it."""
    try:
        measure = _read(name)
        pipeline: Any = ir_measures.DefaultPipeline
        supported = pipeline.supports(measure)
    except Exception as error:  # Python's grammar and the constructors raise whatever they do
        reason = re.sub(r"invalid param (\w+)=<object.*", r"\1 is missing", first_line(error))
        lacks = "lacks a whole-number cutoff" if reason == "cutoff is missing" else f"cannot be read ({reason})"
        raise OptionError(f"measure {name!r} {lacks}") from None
    cut, recall = measure.params.get("cutoff", 1), measure.params.get("recall", 0.0)
    if isinstance(cut, bool) or cut < 1:
        raise OptionError(f"measure {name!r}: the cutoff must be a whole number from 1 on")
    if not 0 <= recall <= 1 or recall != round(recall, 2):  # trec_eval would round it
        raise OptionError(f"measure {name!r}: the recall must be from 0 to 1, with two decimals")
    if not supported:
        raise OptionError(f"measure {name!r} has no provider installed")
    try:
        list(ir_measures.iter_calc([measure], *TRIED))
    except Exception as error:  # providers raise whatever they do
        raise OptionError(
            f"measure {name!r}: {_provider(measure)} fails on some rankings ({first_line(error)})"
        ) from None
    return measure


def _read(name: str) -> ir_measures.Measure:
    """``Family(key=value, …)@value`` as ir_measures reads it, whose reader needs what Python 3.14 no longer has."""
    node, params = ast.parse(name.strip(), mode="eval").body, {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        at, node = ast.literal_eval(node.right), node.left
    else:
        at = None
    if isinstance(node, ast.Call) and not node.args:
        params, node = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords}, node.func
    if not isinstance(node, ast.Name):
        raise ValueError("a measure is Name, Name@10 or Name(key=value)@10")
    kind = ir_measures.measures.registry[node.id]
    measure: ir_measures.Measure = kind(**params | ({} if at is None else {kind.AT_PARAM: at}))
    return measure


def cutoff(name: str) -> int | None:
    """How deep a ranking the measure looks at, or None for all of it."""
    found = re.search(r"@(\d+)$", name)
    return int(found.group(1)) if found else None


def check(measures: Sequence[str], qrels: Sequence[Qrel]) -> None:
    """Raises DataError naming a measure and the grades that its provider cannot take, before anything is scored."""
    per_query(measures, qrels, (ScoredDoc(qrel.query_id, qrel.doc_id, 0.0) for qrel in qrels))


def per_query(measures: Sequence[str], qrels: Sequence[Qrel], run: Iterable[ScoredDoc]) -> pd.DataFrame:
    """Rows ``measure, query_id, value`` for every judged query; a query without a document counts 0.

    Raises DataError naming a measure whose provider cannot take these grades.
    """
    judged = sorted({qrel.query_id for qrel in qrels})
    queries = {query_id: str(number) for number, query_id in enumerate(judged, 1)}
    documents: dict[str, str] = {}

    def numbered(doc_id: str) -> str:
        return documents.setdefault(doc_id, str(len(documents)))

    graded = [Qrel(queries[one.query_id], numbered(one.doc_id), one.relevance) for one in qrels]
    found: dict[str, list[tuple[float, str]]] = {}
    for query_id, doc_id, score in run:
        found.setdefault(query_id, []).append((score, doc_id))
    ranked = {queries[name]: _places(found[name], numbered) for name in judged if name in found}
    parsed = {name: parse(name) for name in measures}
    values = {
        (measure, number): value
        for group in _groups(parsed.values())
        for measure, number, value in _values(group, graded, ranked)
    }
    rows = [
        (name, query_id, values.get((measure, queries[query_id]), 0.0))
        for name, measure in parsed.items()
        for query_id in judged
    ]
    return pd.DataFrame(rows, columns=["measure", "query_id", "value"])


def _places(scored: list[tuple[float, str]], numbered: Callable[[str], str]) -> dict[str, float]:
    """A query's documents as numbers, best first, scored by how many places are left: no two are equal, all above 0."""
    scores, ids = zip(*scored, strict=True)
    rounded = np.array(scores, np.float32).tolist()  # as trec_eval holds them
    best = sorted(zip(rounded, ids, strict=True), reverse=True)  # Python orders text as UTF-8's bytes
    return {numbered(doc_id): float(len(best) - place) for place, (_, doc_id) in enumerate(best)}


def _groups(measures: Iterable[ir_measures.Measure]) -> Iterator[list[ir_measures.Measure]]:
    """Measures with no parameter but a cutoff together; any other one by itself: providers mix up the parameters."""
    distinct = list(dict.fromkeys(measures))
    if plain := [one for one in distinct if not one.params.keys() - {"cutoff"}]:
        yield plain
    yield from ([one] for one in distinct if one not in plain)


def _values(
    measures: Sequence[ir_measures.Measure], qrels: Sequence[Qrel], run: dict[str, dict[str, float]]
) -> Iterator[tuple[ir_measures.Measure, str, float]]:
    """(measure, query, value) as the providers give them. Raises DataError naming measures, provider and grades."""
    least, most = min(one.relevance for one in qrels), max(one.relevance for one in qrels)
    for measure in measures:
        provider = _provider(measure)
        if most > HIGHEST.get(provider, most):
            limit = f"{provider} takes grades up to {HIGHEST[provider]}, and the judgments go up to {most}"
            raise DataError(f"measure {measure}: {limit}; leave it out")
    try:
        for metric in ir_measures.iter_calc(measures, qrels, run):
            yield metric.measure, metric.query_id, float(metric.value)
    except Exception as error:  # providers raise whatever they do
        names, graded = ", ".join(map(str, measures)), f"grades from {least} to {most}"
        raise DataError(f"measure {names}: no value over {graded} ({first_line(error)}); leave it out") from None


def _provider(measure: ir_measures.Measure) -> str:
    """The name of the provider that computes a measure."""
    able = (one for one in ir_measures.DefaultPipeline.providers if one.is_available() and one.supports(measure))
    return str(next(able).NAME)
