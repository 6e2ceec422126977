"""What trainings of one question share: judged pairs, a gallery, and the checkpoint they begin from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from harness import corpora, encoders
from harness.aggregators import Aggregator
from harness.encoders import formats, unknown
from harness.encoders.colbert import ColBERT
from harness.encoders.transformer import positions
from harness.errors import DataError, OptionError
from harness.files import cache_folder, digest
from harness.progress import Stages
from harness.records import Candidates, Dataset, MultiVectors
from harness.scoring.sweep import sweep
from harness.statistics import measures
from harness.training import examples
from harness.training.encoder import Whole
from harness.training.loop import Model, multivectors
from harness.training.projection import BEGINNINGS, Projection
from harness.vectors import store
from harness.vectors.arms import WHOLE

ALL = 50_000  # documents up to which a frozen backbone encodes the corpus: evaluations of the checkpoints need it too
DIM, QUERY_LENGTH = 128, 32  # where neither the question, the checkpoint nor the dataset says


class Asked(Protocol):
    """What of a question decides what is loaded, as ``harness train`` is asked it."""

    @property
    def dataset(self) -> str: ...
    @property
    def split(self) -> str | None: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def strict(self) -> bool: ...
    @property
    def checkpoint(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def dim(self) -> int | None: ...
    @property
    def start(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def query_length(self) -> int | None: ...
    @property
    def expansion(self) -> str | None: ...
    @property
    def held_out(self) -> float: ...
    @property
    def gallery(self) -> int: ...


@dataclass(frozen=True)
class Material:
    """learned, held: rows of the dataset's queries; gallery: rows of its documents; backbone: of a Stanford folder.

    queries, documents: the backbone's vectors, where only a projection is trained.
    """

    dataset: Dataset
    judged: examples.Relevant
    learned: np.ndarray
    held: np.ndarray
    gallery: np.ndarray
    origin: formats.Origin
    backbone: ColBERT
    queries: MultiVectors | None
    documents: MultiVectors | None
    notes: list[str]

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"dataset": self.dataset.fingerprint, "backbone": self.backbone.fingerprint}

    @property
    def start(self) -> str:
        """Names what training begins from: the projection the checkpoint has, if any."""
        weight = self.origin.projection
        return "" if weight is None else digest(weight.tolist())

    def beginning(self, config: Asked) -> np.ndarray:
        """The projection before training, float32 (dim, hidden): the checkpoint's own, or a new one."""
        made, metadata = BEGINNINGS[config.start], self.origin.metadata
        weight = self.origin.projection
        return made(metadata["dim"], self.origin.hidden, config.seed) if weight is None else weight

    def model(self, config: Asked, weight: np.ndarray) -> Model:
        """A model to train, at its beginning."""
        device = self.backbone.device
        if self.queries is not None and self.documents is not None:
            return Projection(self.queries, self.documents, weight, config.length, device)
        encoder = ColBERT(self.backbone.folder, self.backbone.dtype, device)
        return Whole(encoder, weight, self.dataset.queries, self.dataset.documents, config.length)


def gather(config: Asked, device: str, stages: Stages) -> Material:
    """Load what a training needs; of a frozen backbone the vectors, from the cache where they are there."""
    with stages("load dataset"):
        dataset = examples.answerable(corpora.load(config.dataset, config.split, config.limit, config.strict))
        if len(dataset.queries) < 3:
            raise DataError(f"dataset {dataset.name!r}, split {dataset.split!r}: training needs three queries at least")
        rows = examples.gallery(len(dataset.documents), examples.relevant(dataset), config.gallery)
        if config.what == "encoder" or len(dataset.documents) > ALL:
            dataset = replace(dataset, documents=[dataset.documents[row] for row in rows.tolist()])
            rows = np.arange(len(rows))
    learned, held = examples.hold_out(len(dataset.queries), config.held_out)
    with stages("load checkpoint"):
        origin = settled(formats.origin(config.checkpoint), config)
        folder = formats.cached(origin, cache_folder())
        backbone = ColBERT(folder, encoders.settle(config.dtype, device), device, bare=True)
        encoders.accept(backbone, dataset.documents)
    queries = documents = None
    if config.what == "projection":
        queries = store.fetch(backbone, dataset.queries, "query", stages)
        documents = store.fetch(backbone, dataset.documents, "document", stages)
    notes = [*dataset.notes, *unknown.notes(backbone, dataset.documents, dataset.queries)]
    notes += [
        f"{len(learned):,} queries are trained on; {len(held):,} held-out ones, ranked against"
        f" {len(rows):,} documents, choose the epoch"
    ]
    judged = examples.relevant(dataset)
    return Material(dataset, judged, learned, held, rows, origin, backbone, queries, documents, notes)


def settled(origin: formats.Origin, config: Asked) -> formats.Origin:
    """With the dimensions and the query length that were asked for. Raises OptionError where they cannot be."""
    metadata = dict(origin.metadata)
    given = config.query_length or corpora.check(config.dataset).query_length or QUERY_LENGTH
    if config.query_length or origin.projection is None:  # a checkpoint that has a projection has its own length
        metadata["query_maxlen"] = given
    if not 4 <= metadata["query_maxlen"] <= positions(origin.folder):
        raise OptionError(f"query length {given}: the model takes 4 to {positions(origin.folder)} tokens")
    if origin.projection is None:
        metadata["dim"] = config.dim or min(DIM, origin.hidden)
        if metadata["dim"] > origin.hidden:
            raise OptionError(f"dim {metadata['dim']}: the backbone has {origin.hidden} dimensions")
    elif config.dim not in (None, metadata["dim"]):
        raise OptionError(f"dim {config.dim}: the checkpoint's own projection has {metadata['dim']}; leave --dim out")
    expands = origin.expands if config.expansion is None else config.expansion == "mask"
    return replace(origin, metadata=metadata, expands=expands)


def judge(model: Model, aggregator: Aggregator, material: Material, measure: str, alive: Callable[[], None]) -> float:
    """The measure's mean over the held-out queries, every document of the gallery ranked under the aggregator."""
    dataset = material.dataset
    queries = multivectors(model, [query.id for query in dataset.queries], material.held, "query", alive)
    documents = multivectors(model, [one.id for one in dataset.documents], material.gallery, "document", alive)
    every = np.tile(np.arange(len(documents)), (len(queries), 1))
    candidates = Candidates(queries.ids, documents.ids, every, "exact", 1.0, ranked=False)
    longest = [int(documents.counts.max())]
    scores = sweep(documents, queries, candidates, WHOLE, longest, [aggregator])
    kept = set(queries.ids)
    qrels = [qrel for qrel in dataset.qrels if qrel.query_id in kept]
    ranking = scores.run(str(aggregator), longest[0], measures.cutoff(measure) or 100)
    return float(measures.per_query([measure], qrels, ranking)["value"].mean())
