"""From a question to what is scored: dataset, vectors, candidates, and the folder of the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness import candidates, corpora, encoders
from harness.commands.context import RunContext
from harness.commands.plugged import plugged
from harness.commands.questions import Encoding, Reranking, Retrieval
from harness.encoders import cut, unknown
from harness.encoders.windows import Windows
from harness.files import cache_folder, digest
from harness.records import Candidates, Dataset, MultiVectors
from harness.runs import RunDirectory, slug
from harness.scoring import devices
from harness.statistics import measures
from harness.vectors import store


@dataclass(frozen=True)
class Inputs:
    """What a question comes down to before anything is scored."""

    dataset: Dataset
    documents: MultiVectors
    queries: MultiVectors
    encoder: encoders.Encoder
    notes: list[str]
    plugins: list[dict[str, Any]]
    fingerprints: dict[str, str]


def prepare(config: Retrieval, context: RunContext) -> Inputs:
    """Dataset and the vectors of its documents and queries, from the cache where they are there."""
    stages, engine = context.stages, context.engine
    opening: dict[str, Any] = {}
    if isinstance(config, Encoding):
        windows = Windows(config.window, config.stride) if config.long == "windows" else None
        opening = {"trust": config.trust_remote_code, "windows": windows, "convert": config.convert}
    with stages("load dataset"):
        dataset = corpora.load(config.dataset, config.split, config.limit, config.strict)
        if isinstance(config, Reranking):
            measures.check(config.measures, dataset.qrels)
    with stages("load checkpoint"):
        encoder = encoders.load(config.checkpoint, config.dtype, context.device, **opening)
    encoders.accept(encoder, dataset.documents)
    documents = store.fetch(encoder, dataset.documents, "document", stages, engine=engine.wide)
    queries = store.fetch(encoder, dataset.queries, "query", stages, engine=engine.wide)
    fingerprints = {
        "dataset": dataset.fingerprint,
        "documents": documents.fingerprint,
        "queries": queries.fingerprint,
        **(candidates.fingerprints(config.candidates) if isinstance(config, Reranking) else {}),
    }
    lines = notes(config, dataset, documents, encoder)
    return Inputs(dataset, documents, queries, encoder, lines, plugged(config, encoder), fingerprints)


def notes(config: Retrieval, dataset: Dataset, documents: MultiVectors, encoder: encoders.Encoder) -> list[str]:
    """What a reader of the run must know of its data."""
    counts, lines = documents.counts, []
    if isinstance(config, Reranking) and (whole := [name for name in config.measures if measures.cutoff(name) is None]):
        lines.append(f"{', '.join(whole)} see the first {config.depth:,} documents a query")
    if getattr(encoder, "code", []):
        lines.append("the checkpoint's own code was run")
    dtype = encoder.recipe("document").get("dtype")
    computed = f"computed in {dtype}, " if dtype else ""
    lines += [*dataset.notes, f"vectors {computed}stored in float16, scored in float32"]
    lines += [*getattr(encoder, "notes", ()), *unknown.notes(encoder, dataset.documents, dataset.queries)]
    lines += cut.notes(encoder, dataset.documents, documents.fingerprint)
    lines.append(f"documents have {counts.min():,} to {counts.max():,} patches, {counts.mean():.0f} on average")
    return lines


def find_candidates(config: Reranking, inputs: Inputs, context: RunContext) -> Candidates:
    """The documents reranked for every query."""
    search = candidates.Search(
        inputs.dataset,
        inputs.documents,
        inputs.queries,
        config.depth,
        config.index,
        context.stages,
        cache_folder(),
        context.device,
        context.engine,
        context.engine.wide,
        config.strict,
    )
    return candidates.find(config.candidates, search)


def described(config: Reranking, inputs: Inputs, chosen: Candidates) -> dict[str, Any]:
    """Candidates, as the manifest holds them."""
    depth = config.depth if chosen.ranked else len(inputs.documents)
    return {"source": chosen.source, "depth": depth, "recall": chosen.recall}


def folder(config: Retrieval, inputs: Inputs, context: RunContext) -> RunDirectory:
    """Where the run lives: the same question on the same data, by the same kind of product, is the same place."""
    name = f"{config.command}-{slug(config.dataset)}-{slug(config.checkpoint)}"
    key = digest(config.plain(), inputs.fingerprints, devices.kind(context.accelerator), inputs.plugins)
    return RunDirectory(context.output / f"{name}-{key[:8]}")
