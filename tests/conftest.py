"""Shared fixtures: a private cache, the tiny corpus, SciFact, and random multi-vectors."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

import harness
from harness.aggregators import AGGREGATORS, Aggregator, aggregator
from harness.encoders.mending import mend_torchvision
from harness.records import Candidates, Document, MultiVectors

settings.register_profile("house", deadline=None)  # compilation falls on the first example
settings.load_profile("house")
mend_torchvision()
signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a background job ignore it

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read as Triton is imported: its kernels then run on the CPU

os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / "build"))  # compiled once, for every cache
TINY = Path(__file__).parent / "data" / "tiny"
SHARED = Path(__file__).parents[2] / "shared" / "data"
DATASETS = [Path(folder) for folder in os.environ.get("HARNESS_DATASETS", "").split(os.pathsep) if folder]


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
    """SciFact in BEIR's layout, of $HARNESS_DATASETS or beside the repository. A must in CI, else missing is a skip."""
    places = [folder / "scifact" for folder in (*DATASETS, SHARED)]
    folder = next((place for place in places if (place / "corpus.jsonl").is_file()), None)
    if folder is None:
        text = "no scifact in $HARNESS_DATASETS: tests on SciFact need it in BEIR's layout"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium, driven over its own protocol. Missing in CI is a failure, elsewhere a skip."""
    driver = needed("chromedriver", "chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = needed("chromium", "chromium")
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def needed(program: str, package: str) -> str:
    """The path of a program. Missing in CI is a failure, elsewhere a skip."""
    if (path := shutil.which(program)) is None:
        text = f"{program} is missing: install {package}"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> dict[str, Any]:
    """A finished run of every command on a corpus whose texts would run scripts if a page let them."""
    folder, output = hostile(tmp_path_factory.mktemp("data") / "hostile"), tmp_path_factory.mktemp("runs")
    question: dict[str, Any] = {"dataset": str(folder), "depth": 20, "output": output}
    pools = "maxsim,topk:4,softmax:1.0"
    made: dict[str, Any] = {
        "eval": harness.evaluate(**question, pool=pools, lengths=[8, 16, 32]),
        "stress": harness.stress(**question, pool=pools, counts=[5, 40], inject="hard,gaussian"),
        "gradients": harness.gradients(dataset=str(folder), output=output, pool=pools, lengths=[16, 32], pairs=12),
        "synth": harness.synth(
            output=output,
            pool="maxsim,topk:4",
            seeds=2,
            epochs=2,
            every=1,
            queries=64,
            gallery=32,
            batch=32,
            lengths=[16, 32],
            counts=[0, 10],
            inject="hard",
        ),
    }
    other = harness.evaluate(**question, pool=pools, lengths=[8, 16, 32], seed=1)
    return made | {"compare": harness.compare(made["eval"].path, other.path, output=output)}


HOSTILE = ("<script>window.hacked=1</script>", '"><img src=x onerror="window.hacked=2">')


def hostile(folder: Path) -> Path:
    """The tiny corpus with markup in every query and document, and in an id."""
    for name, mark in (("corpus.jsonl", HOSTILE[0]), ("queries.jsonl", HOSTILE[1])):
        rows = [json.loads(line) for line in (TINY / name).read_text().splitlines()]
        folder.mkdir(exist_ok=True)
        text = "\n".join(json.dumps(row | {"text": f"{mark} {row['text']}"}) for row in rows)
        (folder / name).write_text(text.replace('"q-moon"', '"q-<b>moon"'))
    (folder / "qrels").mkdir(exist_ok=True)
    judged = (TINY / "qrels" / "test.tsv").read_text()
    (folder / "qrels" / "test.tsv").write_text(judged.replace("q-moon\t", "q-<b>moon\t"))
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


@pytest.fixture
def plain():
    """An operator from outside, without a kernel or a share."""

    @aggregator("plain")
    class Plain(Aggregator):
        """Largest similarity, in torch only."""

        def reduce(self, sims):
            return sims.amax(-1)

        def merge(self, own, other):
            return other.maximum(own)

        def finish(self, state):
            return state

    yield Plain
    AGGREGATORS.forget("plain")
