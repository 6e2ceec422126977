"""What commands are asked in common, and how any of them may be answered. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import readers
from harness.errors import Problems, examples
from harness.options import Config, option


@dataclass(frozen=True)
class Running(Config):
    """How any run is answered: on what, and where it is written."""

    device: str = option("auto", readers.text, "auto, cpu or cuda.", running=True)
    output: Path | None = option(Path("runs"), readers.path, "Folder of runs.", running=True)


@dataclass(frozen=True)
class Forced(Running):
    """How a run that may be there already is answered anew."""

    force: bool = option(False, readers.flag, "Run again, and replace the files of a finished run.", running=True)


@dataclass(frozen=True)
class Strict(Config):
    """How a dataset is read."""

    strict: bool = option(
        False, readers.flag, "Treat everything untidy in the dataset as an error, not as a note.", running=True
    )


@dataclass(frozen=True)
class Resumable(Forced):
    """How a run that may be there already is answered."""

    resume: bool = option(
        False, readers.flag, "Show a finished run again, without the line that says so.", running=True
    )


@dataclass(frozen=True)
class Engined(Running):
    """How a run of many tasks is answered."""

    engine: str = option("local", readers.text, "Where work is done: local, or ray (tasks on a cluster).", running=True)


@dataclass(frozen=True)
class Distributed(Engined):
    """How a run whose tasks can be spread over machines is answered."""

    address: str | None = option(
        None, readers.text, "Address of a Ray cluster, e.g. 10.0.0.1:6379.", "a local one", running=True
    )


@dataclass(frozen=True)
class Encoding(Config):
    """How checkpoints of any origin are loaded."""

    trust_remote_code: bool = option(False, readers.flag, "Run code that the checkpoint brings.", running=True)
    convert: bool = option(
        False, readers.flag, "Convert pickled weights to safetensors, in a process of its own.", running=True
    )
    long: str = option(
        "cut",
        readers.registered("encoders.windows:LONG"),
        "Documents longer than the model takes: cut, or read in windows that overlap.",
        later=True,
    )
    window: int | None = option(None, readers.whole(4), "Tokens of a window.", "all that the model takes", later=True)
    stride: int | None = option(
        None, readers.whole(1), "Tokens between the beginnings of windows.", "half of what a window holds", later=True
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        yield from super().complete(values, given)
        if values.get("long") == "cut" and (idle := [name for name in ("window", "stride") if values.get(name)]):
            yield f"--{' and --'.join(idle)} only for --long windows; give it, or leave them out"


@dataclass(frozen=True)
class Retrieval(Strict):
    """What commands that load a dataset and a checkpoint are asked."""

    dataset: str = option(
        "stdlib", readers.text, "A name from `harness list datasets`, a folder, owner/name of the hub, or irds:ID."
    )
    split: str | None = option(None, readers.text, "Which judged split to use.", "the dataset's first")
    checkpoint: str = option("minilm", readers.checkpoint, "minilm, a local folder, a hub id, or embeddings:FOLDER.")
    pool: tuple[str, ...] = option(
        ("maxsim",),
        readers.each(readers.pool),
        "Aggregators, e.g. maxsim,topk:4,softmax:0.1; the first is the baseline.",
    )
    limit: int | None = option(None, readers.whole(1), "Use only this many queries, the first by id.")
    seed: int = option(0, readers.whole(0), "The seed of everything random.")
    dtype: str = option(
        "float32",
        readers.registered("encoders:DTYPES"),
        "Precision of the encoder: float32, bfloat16, or auto: bfloat16 where the device multiplies it natively.",
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        """The dataset's card names the split, and maybe the checkpoint, where none is asked for."""
        from harness import corpora

        yield from super().complete(values, given)
        problems = Problems()
        with problems:
            card = corpora.check(str(values["dataset"]), values.get("split"))
            values["split"] = values.get("split") or card.splits[0]
            if given.get("checkpoint") is None and card.checkpoint:
                values["checkpoint"] = card.checkpoint
        yield from problems.lines


@dataclass(frozen=True)
class Reranking(Retrieval):
    """What commands that rerank candidates are asked besides."""

    candidates: str = option(
        "faiss",
        readers.candidates,
        "First stage: faiss, pooled, bm25, exact (all documents), or ranking:FILE, a ranking of yours.",
    )
    index: str = option(
        "auto", readers.text, "FAISS index: flat, ivf-sq, ivf-pq, disk, disk:ivf-pq, or a factory string.", "by size"
    )
    depth: int = option(100, readers.whole(1), "Documents per query that are reranked and kept.")
    measures: tuple[str, ...] = option(
        ("nDCG@10", "R@1", "R@10"), readers.each(readers.measure), "Measures, by the names of ir_measures."
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        from harness.statistics import measures

        yield from super().complete(values, given)
        depth = values.get("depth") or 0
        deep = {name: cut for name in values.get("measures", ()) if (cut := measures.cutoff(name) or 0) > depth > 0}
        if deep:
            yield f"measures {examples(deep)} look deeper than depth {depth}; give --depth {max(deep.values())}"


def arms() -> Any:
    return option(
        ("truncate", "pad"),
        readers.each(readers.registered("vectors.arms:ARMS", "arm")),
        "How documents reach a length: truncate, pad, equalize.",
    )


def fill() -> Any:
    return option(
        "distractor",
        readers.registered("vectors.fills:FILLS"),
        "What the added patches are: distractor, gaussian, repeat, zero.",
    )


def lengths(default: tuple[int, ...] = (32, 64, 128, 256), help: str = "Patches a document is cut or grown to.") -> Any:
    return option(default, readers.each(readers.whole(1, readers.LONGEST), "length"), help)


def inject() -> Any:
    return option(
        ("hard", "spike", "gaussian"),
        readers.each(readers.registered("vectors.injections:INJECTIONS", "injection")),
        "Kinds of injected patches: hard, spike, gaussian.",
    )


def counts() -> Any:
    return option(
        (0, 25, 50, 100, 200, 400),
        readers.each(readers.whole(0, readers.LONGEST), "count"),
        "Injected patches per document.",
    )


def cosine() -> Any:
    return option(0.6, readers.number(-1, 1), "Cosine of a hard patch to the query token that it is aimed at.")
