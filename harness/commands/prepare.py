"""What the commands share: from a question to vectors and candidates, and where the numbers come from."""

from __future__ import annotations

import inspect
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import candidates, corpora, encoders
from harness.commands.plugged import plugged
from harness.commands.provenance import program
from harness.config import Q, Question, Reranking, Retrieval, resolve
from harness.encoders import unknown
from harness.engines import ENGINES, Engine
from harness.engines.local import cores
from harness.errors import OptionError, Problems
from harness.files import cache_folder, check_output, digest
from harness.progress import Stages
from harness.records import Candidates, Dataset, Manifest, MultiVectors
from harness.runs import RunDirectory, slug
from harness.scoring import product
from harness.statistics import measures
from harness.vectors import store

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Inputs:
    """What a question comes down to before anything is scored."""

    dataset: Dataset
    documents: MultiVectors
    queries: MultiVectors
    encoder: encoders.Encoder
    device: str
    notes: list[str]
    plugins: list[dict[str, Any]] = field(default_factory=list)

    @property
    def accelerator(self) -> torch.device | None:
        """Where similarities are computed, if not on the CPU."""
        return accelerator(self.device)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {
            "dataset": self.dataset.fingerprint,
            "documents": self.documents.fingerprint,
            "queries": self.queries.fingerprint,
        }


def accelerator(device: str) -> torch.device | None:
    """A device of the command line as torch's; None stands for the CPU."""
    import torch

    return None if device == "cpu" else torch.device(device)


def prepare(
    config: Retrieval, device: str, stages: Stages, engine: Engine, trust: bool = False, strict: bool = False
) -> Inputs:
    """Dataset and the vectors of its documents and queries, from the cache where they are there.

    trust: run code that the checkpoint brings; strict: what is untidy in the dataset is an error.
    """
    with stages("load dataset"):
        dataset = corpora.load(config.dataset, config.split, config.limit, strict)
        measures.check(getattr(config, "measures", ()), dataset.qrels)
    with stages("load checkpoint"):
        encoder = encoders.load(config.checkpoint, config.dtype, device, trust)
    encoders.accept(encoder, dataset.documents)
    documents = store.fetch(encoder, dataset.documents, "document", stages, engine=engine.wide)
    queries = store.fetch(encoder, dataset.queries, "query", stages, engine=engine.wide)
    counts = documents.counts
    whole = [name for name in getattr(config, "measures", ()) if measures.cutoff(name) is None]
    notes = [f"{', '.join(whole)} see the first {config.depth:,} documents a query"] if whole else []  # type: ignore[attr-defined]
    dtype = encoder.recipe("document").get("dtype")
    computed = f"computed in {dtype}, " if dtype else ""
    notes += ["the checkpoint's own code was run"] if getattr(encoder, "code", []) else []
    notes += [*dataset.notes, f"vectors {computed}stored in float16, scored in float32"]
    notes += [*getattr(encoder, "notes", ()), *unknown.notes(encoder, dataset.documents, dataset.queries)]
    notes.append(f"documents have {counts.min():,} to {counts.max():,} patches, {counts.mean():.0f} on average")
    return Inputs(dataset, documents, queries, encoder, device, notes, plugged(config, encoder))


def find_candidates(config: Reranking, inputs: Inputs, stages: Stages, engine: Engine) -> Candidates:
    search = candidates.Search(inputs.dataset, inputs.documents, inputs.queries, config.depth, config.index, stages,
                               cache_folder(), inputs.device, engine, engine.wide)  # fmt: skip
    return candidates.find(config.candidates, search)


def about(config: Reranking, inputs: Inputs, found: Candidates) -> dict[str, Any]:
    """Candidates, as the manifest holds them."""
    depth = config.depth if found.ranked else len(inputs.documents)
    return {"source": found.source, "depth": depth, "recall": found.recall}


def directory(config: Retrieval, inputs: Inputs, output: str | Path) -> RunDirectory:
    """Where the run lives: the same question on the same data, by the same kind of product, is the same place."""
    name = f"{config.command}-{slug(config.dataset)}-{slug(config.checkpoint)}"
    key = digest(config.plain(), inputs.fingerprints, product.kind(inputs.accelerator), inputs.plugins)
    return RunDirectory(Path(output) / f"{name}-{key[:8]}")


def manifest(
    config: Retrieval, inputs: Inputs, stages: Stages, engine: str, notes: Sequence[str] = (), **rest: Any
) -> Manifest:
    """Provenance of a retrieval run that is about to be finished."""
    return provenance(config, config.seed, inputs.fingerprints, inputs.device, stages, engine,
                      notes=[*inputs.notes, *notes], plugins=inputs.plugins, **rest)  # fmt: skip


def provenance(
    config: Question, seed: int, fingerprints: dict[str, str], device: str, stages: Stages, engine: str,
    notes: Sequence[str] = (), **rest: Any,
) -> Manifest:  # fmt: skip
    """Where any run's numbers come from."""
    return Manifest(
        command=config.command,
        config=config.plain(),
        seeds={"seed": seed},
        fingerprints=fingerprints,
        seconds=stages.seconds,
        core_seconds=stages.core_seconds,
        host={"machine": platform.machine(), "system": platform.platform(), "cores": cores(), "device": device,
              "engine": engine, "product": product.kind(accelerator(device)), "mkl_cbwr": product.mkl_mode()},
        notes=[*notes, *product.notes()],
        **program(),
        **rest,
    )  # fmt: skip


def begin(
    kind: type[Q], question: dict[str, Any], device: str, engine: str, output: str | Path, address: str | None = None
) -> tuple[Q, str, Engine]:
    """Everything a command was asked, checked before anything is done: (config, device, engine)."""
    problems = Problems()
    found: list[Any] = []
    for read in (
        lambda: resolve(kind, **question), lambda: pick_device(device), lambda: make_engine(engine, address),
        lambda: check_output(Path(output)),
    ):  # fmt: skip
        with problems:
            found.append(read())
    problems.stop(OptionError)
    config, found_device, work, _ = found
    if work.wide is None:
        return config, found_device, work
    if not issubclass(kind, Reranking):
        raise OptionError(f"harness {config.command} works on this machine; leave --engine {engine} out")
    if device not in ("auto", "cpu"):
        raise OptionError(f"engine {engine!r} works on CPUs; leave --device {device} out")
    return config, "cpu", work


def make_engine(name: str, address: str | None) -> Engine:
    """The engine of that name. Raises OptionError if there is none, or if it takes no address and one is given."""
    kind = ENGINES[name]
    if address is None:
        return kind()
    if "address" not in inspect.signature(kind).parameters:
        raise OptionError(f"engine {name!r} has no --address; give --engine ray with it, or leave it out")
    return kind(address=address)


def pick_device(asked: str) -> str:
    """``auto`` is CUDA where there is one. Raises OptionError if the device asked for is not there."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    known = ["cpu", "cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if asked == "cpu" or (asked in known and torch.cuda.is_available()):
        return asked
    raise OptionError(f"device {asked!r} is not on this machine; give --device cpu or leave it out")
