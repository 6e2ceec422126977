"""What a synthetic study is asked, with the study's values as defaults, and ours where it names none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from harness.corpora.synthetic import World


@dataclass(frozen=True)
class Trial:
    """One training run; its text is a folder's name. Trials that differ in pool alone share world and beginning."""

    pool: str
    seed: int
    train_length: int
    support: int

    def __str__(self) -> str:
        return f"{self.pool}-M{self.train_length}-K{self.support}/seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Pools × seeds × training lengths M × supports K, how each is trained, and what is measured.

    gallery: positives a query is ranked against, its own among them; negatives: hard negatives (0 or 1) each query
    brings to its batch and gallery; rate: of Adam; temperature: of InfoNCE over scores, which are sums over tokens;
    width: of the network; cosine, mixed: of injected patches; the rest is the world's (see corpora.synthetic.World).
    """

    pool: tuple[str, ...] = ("maxsim", "topk:4", "softmax:1.0")
    seeds: int = 5
    epochs: int = 100
    every: int = 5
    lengths: tuple[int, ...] = (32, 64, 128, 256)
    inject: tuple[str, ...] = ("hard", "spike", "gaussian")
    counts: tuple[int, ...] = (0, 25, 50, 100, 200, 400)
    cosine: float = 0.6
    train_length: tuple[int, ...] = (64,)
    support: tuple[int, ...] = (8,)
    queries: int = 512
    gallery: int = 64
    batch: int = 64
    negatives: int = 0
    rate: float = 1e-3
    temperature: float = 1.0
    width: int = 64
    concepts: int = 100
    dim: int = 16
    tokens: int = 16
    shared: int = 4
    mixed: int = 4
    noise: float = 0.1
    seed: int = 0

    def world(self, seed: int, support: int) -> World:
        return World(self.concepts, self.dim, self.tokens, support, self.shared, self.mixed, self.noise, self.queries,
                     max(*self.lengths, *self.train_length), seed)  # fmt: skip

    def trials(self) -> Iterator[Trial]:
        """Every trial, the pools of a seed one after the other."""
        seeds = range(self.seed, self.seed + self.seeds)
        for length, support, seed, pool in itertools.product(self.train_length, self.support, seeds, self.pool):
            yield Trial(pool, seed, length, support)
