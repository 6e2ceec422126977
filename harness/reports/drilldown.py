"""Queries one by one, as the page holds them: values by cell, ranks of relevant documents, alignments, compactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.reports.reading import FinishedRun

PLACES = {"eval": ("arm", "length", "L"), "stress": ("inject", "count", "K")}


def queries(run: FinishedRun) -> dict[str, Any] | None:
    """Everything a query's row and its details show; None of a run that has no rankings.

    values: by arm (or injection), pool and measure a row a length (or count) of places in ``levels`` (six decimals);
    ranks: by arm and pool a row a length of ranks of the relevant documents, query by query in the order of ``gold``, 0
    where not ranked.
    """
    if run.kind not in PLACES:
        return None
    inside, across, letter = PLACES[run.kind]
    table = run.directory.read_table("per_query.parquet", run.manifest)
    table = table[table[inside].isin(run.manifest.config["arms" if run.kind == "eval" else "inject"])]
    ids, places = sorted(set(table["query_id"])), sorted(set(table[across].astype(int)))
    levels, codes = np.unique(table["value"].to_numpy(float).round(6), return_inverse=True)
    values: dict[str, Any] = {}
    for (first, pool, measure), rows in table.assign(code=codes).groupby([inside, "pool", "measure"], sort=False):
        wide = rows.pivot(index=across, columns="query_id", values="code").loc[places, ids]
        values.setdefault(str(first), {}).setdefault(str(pool), {})[str(measure)] = wide.to_numpy().tolist()
    gold = [run.gold.get(query, []) for query in ids]
    return {
        "ids": ids,
        "at": [f"{letter} = {place}" for place in places],
        "values": values,
        "gold": gold,
        "levels": [None if np.isnan(level) else float(level) for level in levels],
        "ranks": ranks(run, ids, gold, [f"{letter}{place}" for place in places]) if run.gold else None,
        "depth": run.manifest.config["depth"],
        "alignment": alignment(run.table("alignment.parquet")),
    }


def ranks(run: FinishedRun, ids: list[str], gold: list[list[str]], places: list[str]) -> dict[str, Any]:
    pairs = [(query, document) for query, documents in zip(ids, gold, strict=True) for document in documents]
    ranked: dict[str, Any] = {}
    for first in run.manifest.config["arms" if run.kind == "eval" else "inject"]:
        for pool in run.manifest.config["pool"]:
            paths = [run.path / "rankings" / first / pool / f"{place}.trec.gz" for place in places]
            if all(path.exists() for path in paths):
                rows = ([got.get(pair, 0) for pair in pairs] for got in map(run.gold_ranks, paths))
                ranked.setdefault(first, {})[pool] = list(rows)
    return ranked


def alignment(table: pd.DataFrame | None) -> dict[str, Any]:
    """By query: the document, and by kind of injection a row a token (token, patch, its text, similarity, source after,
    patch after, similarity after); similarities to four decimals."""
    aligned: dict[str, Any] = {}
    if table is None:
        return aligned
    key: Any
    for key, rows in table.groupby(["query_id", "doc_id", "inject", "count"], sort=False):
        query, document, kind, count = key
        entry = aligned.setdefault(str(query), {"document": document, "count": int(count), "kinds": {}})
        entry["kinds"][kind] = [
            [
                row["token"],
                int(row["before_patch"]),
                row["before_text"],
                round(float(row["before_similarity"]), 4),
                row["after_source"],
                int(row["after_patch"]),
                round(float(row["after_similarity"]), 4),
            ]
            for row in rows.to_dict("records")
        ]
    return aligned


def texts(run: FinishedRun) -> dict[str, dict[str, str]] | None:
    """Texts by id of queries and of relevant documents; None in a run without them."""
    table = run.table("texts.parquet") if run.quotes else None
    if table is None:
        return None
    return {str(kind): dict(zip(rows["id"], rows["text"], strict=True)) for kind, rows in table.groupby("kind")}
