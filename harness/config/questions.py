"""What each command is asked: frozen, with the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.errors import examples
from harness.worlds.plan import Plan


@dataclass(frozen=True)
class Question:
    """What every command is asked; how it is answered (device, engine, output) is not part of the question."""

    command: ClassVar[str]

    def plain(self) -> dict[str, Any]:
        """As YAML holds it."""
        values = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    @classmethod
    def mistakes(cls, found: dict[str, Any]) -> Iterator[str]:
        """What is wrong with options together, of those that could be read."""
        return iter(())


@dataclass(frozen=True)
class Retrieval(Question):
    """What commands that load a dataset and a checkpoint are asked."""

    dataset: str = "stdlib"
    split: str | None = None
    checkpoint: str = "minilm"  # or what the dataset's card says
    pool: tuple[str, ...] = ("maxsim",)
    limit: int | None = None
    seed: int = 0
    dtype: str = "float32"


@dataclass(frozen=True)
class Reranking(Retrieval):
    """What commands that rerank candidates are asked besides."""

    candidates: str = "faiss"
    index: str = "auto"
    depth: int = 100
    measures: tuple[str, ...] = ("nDCG@10", "R@1", "R@10")

    @classmethod
    def mistakes(cls, found: dict[str, Any]) -> Iterator[str]:
        from harness.statistics import measures

        depth = found.get("depth") or 0
        deep = {name: cut for name in found.get("measures", ()) if (cut := measures.cutoff(name) or 0) > depth > 0}
        if deep:
            yield f"measures {examples(deep)} look deeper than depth {depth}; give --depth {max(deep.values())}"


@dataclass(frozen=True)
class EvalConfig(Reranking):
    """``harness eval``."""

    command = "eval"

    lengths: tuple[int, ...] = (32, 64, 128, 256)
    arms: tuple[str, ...] = ("truncate", "pad")
    evidence: int | None = None
    fill: str = "distractor"


@dataclass(frozen=True)
class StressConfig(Reranking):
    """``harness stress``."""

    command = "stress"

    inject: tuple[str, ...] = ("hard", "spike", "gaussian")
    counts: tuple[int, ...] = (0, 25, 50, 100, 200, 400)
    cosine: float = 0.6
    tokens: int = 4


@dataclass(frozen=True)
class GradientsConfig(Retrieval):
    """``harness gradients``."""

    command = "gradients"

    lengths: tuple[int, ...] = (64, 128, 256, 512)
    pairs: int = 160


@dataclass(frozen=True)
class TrainConfig(Retrieval):
    """``harness train``.

    dim, start: of the projection, where the checkpoint has none, and what it is before training; epochs, rate: None is
    20 and 0.001 of a projection, 3 and 0.00001 of a whole encoder; length: patches a document is cut to; query_length:
    None is the checkpoint's or the dataset's; expansion: what queries are grown with, mask or none; None is the
    checkpoint's, and none where it has no projection yet, for a frozen backbone never saw [MASK] in a query's place;
    held_out: share of the queries that choose the epoch; gallery: documents those are ranked against; temperature: of
    InfoNCE over scores, which are sums over tokens.
    """

    command = "train"

    split: str | None = "train"
    what: str = "projection"
    dim: int | None = None
    start: str = "random"
    seeds: int = 1
    epochs: int | None = None
    batch: int = 32
    rate: float | None = None
    temperature: float = 1.0
    length: int = 256
    query_length: int | None = None
    expansion: str | None = None
    held_out: float = 0.1
    gallery: int = 1000
    measure: str = "nDCG@10"
    format: str = "colbert"

    @classmethod
    def mistakes(cls, found: dict[str, Any]) -> Iterator[str]:
        if found.get("batch") == 1:
            yield "batch 1 has no negatives; give --batch 32, say"


@dataclass(frozen=True)
class PlanConfig(Question):
    """``harness plan``: the size of a corpus, which need not exist, and what ``eval`` would be asked of it.

    patches: of a document; dims: of a vector, whatever the checkpoint gives; gpu_tflops, gpu_bandwidth: of a GPU
    that is assumed, in float32 and in GB/s of its memory: an H100's published figures.
    """

    command = "plan"

    documents: int | None = None
    patches: int = 128
    queries: int = 1000
    query_tokens: int = 32
    depth: int = 100
    dims: int = 128
    checkpoint: str = "minilm"
    pool: tuple[str, ...] = ("maxsim",)
    lengths: tuple[int, ...] = (32, 64, 128, 256)
    arms: tuple[str, ...] = ("truncate", "pad")
    fill: str = "distractor"
    candidates: str = "faiss"
    index: str = "auto"
    dtype: str = "float32"
    measures: tuple[str, ...] = ("nDCG@10", "R@1", "R@10")
    gpu_tflops: float = 67.0
    gpu_bandwidth: float = 3350.0

    @classmethod
    def mistakes(cls, found: dict[str, Any]) -> Iterator[str]:
        if "documents" in found and found["documents"] is None:
            yield "documents: how many? give --documents 8.8e6, say"
        if found.get("candidates") in ("bm25", "pooled"):
            yield f"candidates {found['candidates']} are not planned for; give faiss or exact"


@dataclass(frozen=True)
class SynthConfig(Question, Plan):
    """``harness synth``."""

    command = "synth"

    @classmethod
    def mistakes(cls, found: dict[str, Any]) -> Iterator[str]:
        if len(found) < len(dataclasses.fields(cls)):
            return
        for support in found["support"]:
            try:
                cls(**found).world(found["seed"], support)
            except ValueError as error:
                yield str(error)
        for name in ("batch", "gallery"):
            if not 2 <= found[name] <= found["queries"] or found["queries"] % found[name]:
                yield f"{name} {found[name]} must be at least 2 and divide queries, {found['queries']}"
        if not found["epochs"]:
            yield "epochs 0 must be at least 1"
        if found["epochs"] % found["every"]:
            yield f"every {found['every']} must divide epochs, {found['epochs']}; give --every 1, say"
