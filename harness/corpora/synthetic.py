"""The study's concept world as texts: queries, positive documents and hard negatives are lists of concepts.

An item's text is its name and its world's key, then a word a patch: ``c17`` is a concept, ``c3+c17+c44`` a spike, one
patch that mixes several. ``harness.encoders.concepts`` turns words into vectors; BM25 can read them as they are.
Source: *Spike Hijacking in Late-Interaction Retrieval*, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.sources import SOURCES
from harness.errors import DataError, first_line
from harness.randomness import generator
from harness.records import Document, Qrel, Query

SPLITS = ("test", "train")  # test: queries and documents that no encoder was trained on


@dataclass(frozen=True)
class World:
    """What decides a world. Lengths count patches; noise is the deviation of each coordinate before normalising.

    tokens: T of a query; support: K, a positive's patches that carry query concepts (the others are random); shared:
    query concepts a hard negative holds, mixed: those its one spike mixes; patches: of every document, the longest
    that is ever looked at; a shorter document is a prefix.
    """

    concepts: int = 100
    dim: int = 16
    tokens: int = 16
    support: int = 8
    shared: int = 4
    mixed: int = 4
    noise: float = 0.1
    queries: int = 512
    patches: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.concepts, self.dim, self.tokens, self.support, self.mixed, self.queries, self.patches)
        if min(counts) < 1 or self.shared < 0 or self.seed < 0 or not 0 <= self.noise < float("inf"):
            raise ValueError("a world's counts must be at least 1, its noise and seed at least 0")
        if max(self.support, self.shared, self.mixed) > self.tokens:
            raise ValueError(f"support, shared and mixed are query concepts: at most tokens, {self.tokens}")
        if max(self.support, self.shared + 1) > self.patches:
            raise ValueError(
                f"{self.patches} patches cannot hold a support of {self.support}, or {self.shared} shared"
                " concepts and a spike"
            )

    @property
    def key(self) -> str:
        """All that a word's vector depends on besides the item's name."""
        return f"{self.seed},{self.concepts},{self.dim},{self.noise}"


def make(world: World, split: str) -> Collection:
    """A split's queries; document p<i> is query q<i>'s positive and n<i> its hard negative."""
    asked = _draw(world, split, "queries", world.tokens)  # (n, T)
    positive, negative = (_draw(world, split, role, world.patches) for role in ("positives", "negatives"))  # (n, P)
    positive[:, : world.support] = asked[:, : world.support]
    words = [[f"c{concept}" for concept in row] for row in negative.tolist()]
    for query, mine in enumerate(words):
        order = generator(world.seed, split, "shared", str(query)).permutation(asked[query])
        mine[: world.shared] = [f"c{concept}" for concept in order[: world.shared]]
        mine[world.shared] = "+".join(f"c{concept}" for concept in order[::-1][: world.mixed])
    return Collection(
        documents=[
            *(Document(*_item(world, split, "p", at, [f"c{one}" for one in row])) for at, row in enumerate(positive)),
            *(Document(*_item(world, split, "n", at, row)) for at, row in enumerate(words)),
        ],
        queries=[Query(*_item(world, split, "q", at, [f"c{one}" for one in row])) for at, row in enumerate(asked)],
        qrels=[Qrel(f"{split}-q{at}", f"{split}-p{at}", 1) for at in range(world.queries)],
    )


def _draw(world: World, split: str, role: str, patches: int) -> np.ndarray:
    """Random concepts, int64 (n, patches); more patches go on from fewer."""
    return generator(world.seed, split, role).integers(0, world.concepts, (patches, world.queries)).T.copy()


def _item(world: World, split: str, role: str, number: int, words: list[str]) -> tuple[str, str]:
    name = f"{split}-{role}{number}"
    return name, " ".join([f"{name}@{world.key}", *words])


@SOURCES.register("synthetic")
def synthetic(card: Card, split: str) -> Collection:
    """The world that the card's ``world`` key describes, the study's where it says nothing."""
    try:
        return make(World(**card.world), split)
    except (TypeError, ValueError) as error:
        raise DataError(f"dataset {card.name!r}, world: {first_line(error).replace('World.__init__() ', '')}") from None
