"""``mteb`` and ``ranx``: every cell of a run as these tools write theirs. Runs without rankings are left out."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pandas as pd

from harness.errors import DataError
from harness.reports.content import Report
from harness.reports.drilldown import PLACES
from harness.reports.formats.base import FORMATS, Files
from harness.reports.reading import FinishedRun

TASKS = {
    "scifact": "SciFact",
    "nfcorpus": "NFCorpus",
    "arguana": "ArguAna",
    "fiqa": "FiQA2018",
    "scidocs": "SCIDOCS",
    "trec-covid": "TRECCOVID",
    "webis-touche2020": "Touche2020",
    "quora": "QuoraRetrieval",
}
SCORES = {"nDCG": "ndcg", "R": "recall", "P": "precision", "RR": "mrr", "AP": "map", "Success": "hit_rate"}


def score_name(measure: str) -> str:
    """An ir_measures name as MTEB writes it: ``nDCG@10`` → ``ndcg_at_10``."""
    family, _, cut = measure.partition("@")
    name = SCORES.get(family) or re.sub(r"\W+", "_", family.lower())
    return f"{name}_at_{cut}" if cut else name


@FORMATS.register("mteb")
def mteb(report: Report) -> Files:
    """MTEB's task result (its ``mteb_version`` is empty: MTEB did not compute it), a file a cell."""
    for section in report.sections:
        run = section.run
        for (inside, pool, across), rows in cells(run):
            pairs = zip(rows["measure"], rows["value"], strict=True)
            values = {score_name(measure): float(value) for measure, value in pairs}
            main = values.get("ndcg_at_10", next(iter(values.values())))
            scores = {"hf_subset": "default", "languages": ["eng-Latn"], "main_score": main, **values}
            config = run.manifest.config
            result = {
                "task_name": TASKS.get(config["dataset"], str(rows["dataset"].iloc[0])),
                "mteb_version": None,
                "dataset_revision": run.manifest.fingerprints["dataset"],
                "scores": {config["split"]: [scores]},
                "evaluation_time": round(sum(run.manifest.seconds.values()), 3),
                "kg_co2_emissions": None,
            }
            yield f"mteb/{section.name}/{inside}/{pool}/{across}.json", encoded(result, indent=1)


@FORMATS.register("ranx")
def ranx(report: Report) -> Files:
    """A run a cell, ``{query: {document: score}}``, as ranx reads it; and the judgments, where the run holds them."""
    for section in report.sections:
        run = section.run
        if (texts := run.table("texts.parquet")) is not None and run.kind in PLACES:
            judged: dict[str, dict[str, int]] = defaultdict(dict)
            for row in texts[texts["kind"] == "document"].to_dict("records"):
                judged[row["query_id"]][row["id"]] = int(row["relevance"])
            yield f"ranx/{section.name}/qrels.json", encoded(judged)
        for (inside, pool, across), _ in cells(run):
            scores: dict[str, dict[str, float]] = defaultdict(dict)
            path = run.path / "rankings" / inside / pool / f"{across}.trec.gz"
            for query_id, doc_id, score in run.directory.read_ranking(path):
                if not math.isfinite(score):
                    raise DataError(f"{path} has a score that JSON has no word for, {score}; leave --format ranx out")
                scores[query_id][doc_id] = score
            yield f"ranx/{section.name}/{inside}/{pool}/{across}.json", encoded(scores)


def cells(run: FinishedRun) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """((arm or injection, pool, ``L32`` or ``K25``), rows of the summary) of every cell that has a ranking."""
    if run.kind not in PLACES:
        return
    inside, across, letter = PLACES[run.kind]
    key: Any
    for key, rows in run.summary.groupby([inside, "pool", across], sort=False, dropna=False):
        first, pool, place = key
        yield (first, pool, "full" if pd.isna(place) else f"{letter}{place}"), rows


def encoded(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False).encode()
