"""Runs of one question set side by side: may they be compared, and what differs by how much. Tables in, tables out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import DataError, examples
from harness.records import SLOPE, VALUE, Result
from harness.statistics import inference, tables

PLACES = {"eval": ["measure", "arm", "length", "pool"], "stress": ["measure", "inject", "count", "pool"]}
TESTS = PLACES | {"eval": ["measure", "arm", "length", "statistic", "pool"]}
TESTED = ["n", "mean_difference", "ci_low", "ci_high", "effect_size", "t", "p", "p_holm", "wins", "ties", "losses"]
SEED = re.compile(r"-seed\d+$")
ASKED = ["split", "limit", "measures", "lengths", "arms", "evidence", "fill", "inject", "counts", "cosine", "tokens"]


def check(runs: Mapping[str, Result]) -> list[str]:
    """Raise DataError with every way in which runs do not answer one question; notes on what may differ.

    Runs must share command, documents, queries and judgments, lengths (or counts), arms and measures.
    """
    (first, base), *others = runs.items()
    problems: list[str] = []
    notes: list[str] = []
    for name, run in others:
        pair = f"{first} and {name} cannot be compared"
        if run.manifest.command != base.manifest.command:
            problems.append(f"{pair}: one is of harness {base.manifest.command}, one of {run.manifest.command}")
            continue
        problems += [f"{pair}: {line}" for line in differences(first, base, name, run)]
        for key in ("candidates", "depth", "dtype", "seed"):
            asked, other = (one.manifest.config.get(key) for one in (base, run))
            if asked != other:
                notes.append(f"{key} differs: {asked} in {first}, {other} in {name}")
    recalls = {name: run.manifest.candidates.get("recall") for name, run in runs.items()}
    if len(set(recalls.values())) > 1:
        notes.append(
            "each run reranks its own candidates, recall "
            + ", ".join(f"{recall:.3f} in {name}" for name, recall in recalls.items() if recall is not None)
        )
    if problems:
        raise DataError(*problems)
    return notes


def differences(first: str, base: Result, name: str, run: Result) -> Iterator[str]:
    """What two runs of one command were asked differently."""
    queries, others = (set(one.per_query["query_id"]) for one in (base, run))
    if queries != others:
        for only, where in ((queries - others, first), (others - queries, name)):
            if only:
                yield f"{len(only):,} queries are in {where} only: {examples(sorted(only))}"
    elif base.manifest.fingerprints["dataset"] != run.manifest.fingerprints["dataset"]:
        yield "their queries have the same ids, but documents, judgments or texts differ"
    for key in ASKED:
        a, b = (one.manifest.config.get(key) for one in (base, run))
        if a != b:
            yield f"{key} {_text(a)} against {_text(b)}"


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def averaged(runs: Mapping[str, Result]) -> dict[str, Result]:
    """Runs whose names differ in ``-seed<number>`` alone as one: a query's value is the mean over its seeds.

    Their summaries have the columns ``n_seeds`` and ``seed_sd``, the standard deviation of the value over seeds.
    """
    groups: dict[str, list[Result]] = {}
    for name, run in runs.items():
        groups.setdefault(SEED.sub("", name), []).append(run)
    return {name: _mean(name, seeds) for name, seeds in groups.items()}


def _mean(name: str, seeds: list[Result]) -> Result:
    """What several seeds found, as one run; cells that not all of them have are left out."""
    first, stress = seeds[0], seeds[0].manifest.command == "stress"
    values = pd.concat([seed.per_query for seed in seeds], ignore_index=True).assign(checkpoint=name)
    groups = values.groupby([column for column in values if column != "value"], sort=False, dropna=False)["value"]
    table = groups.agg(["mean", "size"]).reset_index()
    table = table[table["size"] == len(seeds)].rename(columns={"mean": "value"})[first.per_query.columns]
    random = np.random.default_rng(first.manifest.config["seed"])
    summary = (tables.summarise_stress if stress else tables.summarise)(table, random)
    cell = [column for column in ("arm", "inject", "count", "pool", "length", "measure") if column in summary]
    spread = pd.concat([seed.summary for seed in seeds]).groupby(cell, dropna=False)["value"].std(ddof=1)
    summary = summary.merge(spread.rename("seed_sd").reset_index(), on=cell, how="left").assign(n_seeds=len(seeds))
    cells = [cell for seed in seeds for cell in seed.manifest.cells]
    return replace(first, summary=summary, per_query=table, manifest=replace(first.manifest, cells=cells))


def stack(runs: Mapping[str, Result]) -> pd.DataFrame:
    """Values by query of all runs, with a column ``run``; the candidates' own rankings are left out."""
    tables = [run.per_query.assign(run=name) for name, run in runs.items()]
    table = pd.concat(tables, ignore_index=True)
    return table[table["arm"] != "candidates"] if "arm" in table else table[table["measure"] != "hijack_rate"]


def reached(runs: Mapping[str, Result]) -> dict[str, dict[str, list[int]]]:
    """By run and arm the lengths that its slope is over, as in its own tests."""
    return {name: tables.reached(run.manifest.cells) for name, run in runs.items()}


def compare(
    values: pd.DataFrame, command: str, baseline: str, reached: Mapping[str, Mapping[str, Sequence[int]]] | None = None
) -> pd.DataFrame:
    """Every other run against the baseline in every cell both have, paired by query, and on the slope over length.

    A positive difference and a win are better for the run that the row names. reached: by run and arm the lengths that
    its slope is over; all, where it is not named. effect_size: Cohen's d of the paired differences, mean over standard
    deviation. Holm runs over the whole table.
    """
    place, rows, growing = PLACES[command], [], reached or {}
    for run in [name for name in dict.fromkeys(values["run"]) if name != baseline]:
        own, base = (values[values["run"] == name] for name in (run, baseline))
        for named, a, b in _pairs(own, base, place, growing.get(run, {}), growing.get(baseline, {})):
            difference = a - b
            spread = difference.std(ddof=1) if len(difference) > 1 else np.nan
            size = difference.mean() / spread if spread > 0 else np.nan
            rows.append(
                {**named, "run": run, "baseline": baseline, **vars(inference.paired(a, b)), "effect_size": size}
            )
    table = pd.DataFrame(rows, columns=[*TESTS[command], "run", "baseline", *TESTED])
    if table.empty:
        raise DataError(f"no cell of another run is in {baseline}: they share no pool")
    table["p_holm"] = inference.holm(table["p"].to_numpy(float))
    return table.astype({"length": "Int64"}) if "length" in table else table


def _pairs(
    run: pd.DataFrame, base: pd.DataFrame, place: Sequence[str], *growing: Mapping[str, Sequence[int]]
) -> Iterator[tuple[dict[str, Any], np.ndarray, np.ndarray]]:
    """(keys, run's values, baseline's values) by query of every cell both have; then of every slope over length."""
    wide = [one.pivot(index=list(place), columns="query_id", values="value") for one in (run, base)]
    order = run[list(place)].drop_duplicates().itertuples(index=False, name=None)
    shared = [key for key in order if key in wide[1].index]
    queries, statistic = wide[1].columns, {"statistic": VALUE} if "length" in place else {}
    for key in shared:
        a, b = (one.loc[key].reindex(queries).to_numpy(float) for one in wide)
        yield dict(zip(place, key, strict=True)) | statistic, a, b
    if not statistic:
        return
    lines = dict.fromkeys((key[0], key[1], key[3]) for key in shared)
    for measure, arm, pool in lines:
        lengths = [key[2] for key in shared if (key[0], key[1], key[3]) == (measure, arm, pool)]
        spans = [[one for one in lengths if one in own.get(arm, lengths)] for own in growing]
        if min(map(len, spans)) > 1:
            cells = [[(measure, arm, length, pool) for length in span] for span in spans]
            a, b = (
                inference.slopes(one.loc[keys, queries].to_numpy(float), np.array(span, float))
                for one, keys, span in zip(wide, cells, spans, strict=True)
            )
            yield {"measure": measure, "arm": arm, "length": None, "statistic": SLOPE, "pool": pool}, a, b


def by_query(values: pd.DataFrame, command: str, baseline: str) -> pd.DataFrame:
    """Each query's value in every cell and run beside the baseline's, the largest losses of a cell first."""
    keys = [*PLACES[command], "query_id"]
    base = values.loc[values["run"] == baseline, [*keys, "value"]]
    others = values.loc[values["run"] != baseline, [*keys, "run", "value"]]
    table = others.merge(base, on=keys, suffixes=("", "_baseline"))
    table["difference"] = table["value"] - table["value_baseline"]
    return table.sort_values([*keys[:-1], "run", "difference", "query_id"], kind="stable", ignore_index=True)
