"""Shared fixtures: a private cache, the tiny corpus, SciFact, and random multi-vectors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from harness.records import Candidates, Document, MultiVectors

settings.register_profile("house", deadline=None)  # compilation falls on the first example
settings.load_profile("house")

TINY = Path(__file__).parent / "data" / "tiny"
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def private_cache(tmp_path_factory):
    """No test reads or writes the user's cache, or asks a hub."""
    os.environ["HARNESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("HARNESS_DATASETS", None)


@pytest.fixture
def tiny() -> Path:
    """A BEIR folder of a few dozen short documents, written for these tests."""
    return TINY


@pytest.fixture(scope="session")
def scifact() -> Path:
    """SciFact in BEIR's layout, kept outside the repository. Missing in CI is a failure, elsewhere a skip."""
    folder = SHARED / "scifact"
    if not folder.is_dir():
        text = f"{folder} is missing: tests on SciFact need it in BEIR's layout"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return folder


def multivectors(counts: Sequence[int], dim: int = 16, seed: int = 0, prefix: str = "d") -> MultiVectors:
    """Random unit vectors, one run of patches an item."""
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((sum(counts), dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return MultiVectors([f"{prefix}{at}" for at in range(len(counts))], vectors.astype(np.float16), offsets)


def all_candidates(queries: MultiVectors, documents: MultiVectors) -> Candidates:
    """Every document a candidate of every query."""
    rows = np.tile(np.arange(len(documents)), (len(queries), 1))
    return Candidates(queries.ids, documents.ids, rows, "exact", 1.0, ranked=False)


def documents(texts: Sequence[str]) -> list[Document]:
    """Texts as documents named by their position."""
    return [Document(str(at), text) for at, text in enumerate(texts)]
