"""The documents reranked for each query: from FAISS over patches, from pooled vectors, from BM25, or all of them.

Chosen once, on full-length documents, and the same for every cell of a sweep; cached beside the vectors. Every source
orders, and cuts, documents of equal scores as trec_eval does: see ``records.ties``.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness import packages
from harness.candidates.base import SOURCES, TRAITS, Ranked, Search, Traits, parse
from harness.errors import DataError
from harness.files import damaged, digest, lock, sealed
from harness.progress import Stages
from harness.records import Candidates, Dataset

FORMAT = 3  # raise it when what a source finds changes: cached candidates are then searched again


def find(spec: str, search: Search) -> Candidates:
    """Candidates of every query of the dataset, none of them a document that the dataset excludes for it.

    spec: a source's name, and after a colon its argument if it takes one.
    """
    source, argument = parse(spec)
    traits, search = TRAITS.get(source, Traits()), replace(search, argument=argument)
    vectors = [search.vectors.fingerprint, search.queries.fingerprint]
    names = [search.dataset.fingerprint] if traits.of_text else vectors
    label = traits.label(search) if traits.label else source
    code = [SOURCES.origin(source), packages.of("numpy", *traits.packages)]
    path = search.root / "candidates" / f"{digest(FORMAT, label, search.depth, *names, code)}.npz"
    rows, notes = _cached(path, source, search) if traits.cached and all(names) else SOURCES[source](search)
    rows = _without_excluded(rows, search)
    if traits.ranked:
        rows = rows[:, : search.depth]
    if not (rows >= 0).any():
        raise DataError(f"candidates {source}: not one query finds a document; use another source")
    ids = [query.id for query in search.dataset.queries]
    recall = _recall(rows, search.dataset, search.vectors.ids)
    return Candidates(ids, search.vectors.ids, rows, label, recall, traits.ranked, notes)


def _cached(path: Path, source: str, search: Search) -> Ranked:
    """Candidates and their notes from the cache; those that are not there are searched, by one process, and cached."""
    if (kept := _load(path, search.stages)) is not None:
        return kept
    with lock(path, "searching these candidates"):
        if (kept := _load(path, search.stages)) is not None:
            return kept
        ranked, content = SOURCES[source](search), io.BytesIO()
        np.savez(content, rows=ranked.rows, notes=np.array(ranked.notes, str))
        with sealed(path) as write:
            write(content.getvalue())
    return ranked


def _load(path: Path, stages: Stages) -> Ranked | None:
    """Cached candidates, or None if they are not there or damaged; the damaged are removed."""
    if not path.exists():
        return None
    with contextlib.suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        if not damaged(path):
            with np.load(path, allow_pickle=False) as held:
                return Ranked(held["rows"], held["notes"].tolist())
    stages.tell(f"{path} is damaged; the candidates are searched again")
    path.unlink(missing_ok=True)
    return None


def _without_excluded(rows: np.ndarray, search: Search) -> np.ndarray:
    """Empty the slots of documents that are excluded for a query, and move the others up."""
    excluded = search.dataset.excluded
    named = set().union(*excluded.values())
    place = {name: row for row, name in enumerate(search.vectors.ids) if name in named}
    hit = np.zeros(rows.shape, bool)
    for at, query in enumerate(search.dataset.queries):
        hit[at] = np.isin(rows[at], [place[name] for name in excluded.get(query.id, ()) if name in place])
    if not hit.any():
        return rows
    rows = np.where(hit, -1, rows)
    return np.take_along_axis(rows, np.argsort(rows < 0, axis=1, kind="stable"), axis=1)


def _recall(rows: np.ndarray, dataset: Dataset, ids: Sequence[str]) -> float:
    """Mean share of a query's relevant documents among its candidates: the ceiling of any reranking."""
    found = []
    for query, candidates in zip(dataset.queries, rows, strict=True):
        wanted = set(dataset.relevant[query.id])
        found.append(len(wanted.intersection(ids[row] for row in candidates if row >= 0)) / len(wanted))
    return float(np.mean(found))
