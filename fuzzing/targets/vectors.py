"""Vectors that a user brings (``embeddings:FOLDER``), and what the cache holds of them."""

from __future__ import annotations

import io
import json
import re

import numpy as np
from safetensors.numpy import save

from fuzzing.judging import TARGETS, Place, Target
from fuzzing.mutating import Files
from fuzzing.targets.corpora import DOCUMENTS, QUERIES
from harness import encoders
from harness.progress import Stages
from harness.records import Document, Query
from harness.vectors import store

DIM = 8


def brought(place: Place) -> None:
    """Files of vectors are refused, or give every item finite ones."""
    encoder = encoders.load(f"embeddings:{place.given}", "float32", "cpu")
    for items, role in ((ITEMS["documents"], "document"), (ITEMS["queries"], "query")):
        found = store.fetch(encoder, items, role, Stages(False))
        assert found.ids == [item.id for item in items] and np.isfinite(found.vectors[:]).all()


def _items(rows: bytes, kind: type) -> list:
    return [kind(row["_id"], row["text"]) for row in map(json.loads, rows.splitlines())]


ITEMS = {"documents": _items(DOCUMENTS, Document), "queries": _items(QUERIES, Query)}


def files(items: dict[str, list], suffix: str, seed: int = 0) -> Files:
    """A folder of random vectors for documents and queries."""
    random, made = np.random.default_rng(seed), {}
    for name, mine in items.items():
        counts = np.array([4 + len(re.findall(r"\w+", item.text)) for item in mine], np.int64)
        vectors = random.standard_normal((int(counts.sum()), DIM)).astype(np.float16)
        ids = [item.id for item in mine]
        if suffix == "npy":  # a padded array with tables beside it
            mask = np.arange(counts.max()) < counts[:, None]
            padded = np.zeros((*mask.shape, DIM), np.float16)
            padded[mask] = vectors
            for table, array in (("", padded), (".mask", mask)):
                held = io.BytesIO()
                np.save(held, array)
                made[f"{name}{table}.npy"] = held.getvalue()
            made[f"{name}.ids.txt"] = "\n".join(ids).encode()
        elif suffix == "list.npz":  # an array for each item
            held = io.BytesIO()
            np.savez(held, *np.split(vectors, np.cumsum(counts)[:-1]), ids=np.array(ids, dtype=str))
            made[f"{name}.npz"] = held.getvalue()
        elif suffix == "npz":
            held = io.BytesIO()
            np.savez(held, vectors=vectors, counts=counts, ids=np.array(ids, dtype=str))
            made[f"{name}.npz"] = held.getvalue()
        else:
            made[f"{name}.safetensors"] = save({"vectors": vectors, "counts": counts}, {"ids": json.dumps(ids)})
    return made


SUFFIXES = ("safetensors", "npz", "npy", "list.npz")
TARGETS.register("vectors")(Target(lambda _: [files(ITEMS, suffix) for suffix in SUFFIXES], brought))
