"""What a trial measures on an encoder: gradient concentration, Recall@1 in galleries, by length and under injection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.records import Candidates, MultiVectors, Qrel, rank
from harness.scoring.attack import attack
from harness.scoring.sweep import sweep
from harness.statistics import measures
from harness.statistics.concentration import gini, patch_gradients
from harness.vectors.arms import WHOLE
from harness.vectors.injections import Injection
from harness.worlds.plan import Plan, Trial
from harness.worlds.vectors import Split, encode, galleries


@dataclass(frozen=True)
class Encoded:
    """A split through a network, documents cut to a length, with each query's gallery."""

    queries: MultiVectors
    documents: MultiVectors
    gallery: Candidates


def encoded(trained: torch.nn.Sequential, raw: Split, length: int, plan: Plan) -> Encoded:
    queries = encode(trained, raw.queries, "q")
    parts = [raw.documents, raw.negatives] if plan.negatives else [raw.documents]
    documents = encode(trained, torch.cat(parts)[:, :length], "d")
    return Encoded(queries, documents, galleries(queries, documents, plan.gallery))


def recall(gallery: Candidates, values: np.ndarray) -> float:
    """Recall@1 of scores (Q, C): the mean over queries; a tie goes to the earlier document."""
    own = zip(gallery.query_ids, gallery.rows[:, 0], strict=True)
    judged = [Qrel(query, gallery.document_ids[row], 1) for query, row in own]
    return float(measures.per_query(["R@1"], judged, list(rank(gallery, gallery.rows, values, 1)))["value"].mean())


def ginis(aggregator: Aggregator, world: Encoded) -> tuple[float, float]:
    """Mean Gini, the study's and the standard one, of each query's gradient on its own document's patches."""
    tokens, patches = (
        torch.from_numpy(part.vectors.reshape(len(part), -1, part.dim).astype(np.float64))
        for part in (world.queries, world.documents)
    )
    mean = float(gini(patch_gradients(aggregator, tokens, patches[: len(tokens)]).numpy()).mean())
    return mean, mean + 1 / patches.shape[1]


def by_length(aggregator: Aggregator, world: Encoded, lengths: list[int]) -> list[float]:
    """Recall@1 at each length."""
    scores = sweep(world.documents, world.queries, world.gallery, WHOLE, lengths, [aggregator])
    return [recall(world.gallery, values) for values in scores.values[0]]


def under_injection(
    aggregator: Aggregator, world: Encoded, trial: Trial, plan: Plan, advance: Callable[[int], None]
) -> Iterator[dict[str, Any]]:
    """Rows of injection.csv: Recall@1, share retained and hijack rate for every kind and count."""
    whole = [int(world.documents.counts.max())]
    own, others = (replace(world.gallery, rows=rows) for rows in np.split(world.gallery.rows, [1], axis=1))
    clean = sweep(world.documents, world.queries, own, WHOLE, whole, [aggregator]).values[0, 0]
    for kind in plan.inject:
        injection = Injection(kind, plan.counts, plan.cosine, plan.mixed, trial.seed)
        scores = attack(world.documents, world.queries, others, injection, [aggregator], advance=advance)
        found = [recall(world.gallery, np.concatenate([clean, values], 1)) for values in scores.values[0]]
        for count, value, held in zip(plan.counts, found, scores.hijacked[0], strict=True):
            retained = value / found[0] if found[0] > 0 else float("nan")
            yield {
                "inject": kind,
                "count": count,
                "recall": value,
                "retained": retained,
                "hijack_rate": float(held.mean(dtype=np.float64)),
            }
