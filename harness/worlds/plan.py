"""What a synthetic study is asked, with the study's values as defaults, and ours where it names none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from harness import readers
from harness.corpora.synthetic import World
from harness.options import Config, option
from harness.readers import LONGEST, each, number, registered, whole


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
class Plan(Config):
    """Pools × seeds × training lengths M × supports K, how each is trained, and what is measured.

    gallery: positives a query is ranked against, its own among them; negatives: hard negatives (0 or 1) each query
    brings to its batch and gallery; rate: of Adam; temperature: of InfoNCE over scores, which are sums over tokens;
    width: of the network; cosine, mixed: of injected patches; the rest is the world's (see corpora.synthetic.World).
    """

    pool: tuple[str, ...] = option(
        ("maxsim", "topk:4", "softmax:1.0"), each(readers.pool), "Pools to train under; the first is the baseline."
    )
    seeds: int = option(5, whole(1), "How many seeds, from --seed on; each has its own world and start.")
    epochs: int = option(100, whole(0), "Epochs of training.")
    every: int = option(5, whole(1), "Epochs between measurements.")
    lengths: tuple[int, ...] = option(
        (32, 64, 128, 256), each(whole(1, LONGEST), "length"), "Patches a document is cut or grown to."
    )
    inject: tuple[str, ...] = option(
        ("hard", "spike", "gaussian"),
        each(registered("vectors.injections:INJECTIONS", "injection")),
        "Kinds of injected patches: hard, spike, gaussian.",
    )
    counts: tuple[int, ...] = option(
        (0, 25, 50, 100, 200, 400), each(whole(0, LONGEST), "count"), "Injected patches per document."
    )
    cosine: float = option(0.6, number(-1, 1), "Cosine of a hard patch to the query token that it is aimed at.")
    train_length: tuple[int, ...] = option(
        (64,), each(whole(1, LONGEST)), "Patches M of a training document; several give a grid."
    )
    support: tuple[int, ...] = option((8,), each(whole(1)), "Patches K that carry query concepts; several give a grid.")
    queries: int = option(512, whole(1), "Queries of the training set; as many more are held out.")
    gallery: int = option(64, whole(1), "Documents that a query is ranked against, its own among them.")
    batch: int = option(64, whole(1), "Queries per batch.")
    negatives: int = option(0, whole(0, 1), "Hard negatives that a query adds to batch and gallery, 0 or 1.")
    rate: float = option(1e-3, number(1e-9, 1e3), "Learning rate of Adam.")
    temperature: float = option(
        1.0, number(1e-6, 1e6), "Temperature of InfoNCE over scores, which are sums over tokens."
    )
    width: int = option(64, whole(1), "Hidden units per layer.")
    concepts: int = option(100, whole(1), "Concepts in the dictionary.")
    dim: int = option(16, whole(1), "Dimensions of a vector.")
    tokens: int = option(16, whole(1), "Tokens of a query, T.")
    shared: int = option(4, whole(0), "Query concepts that a hard negative shares.")
    mixed: int = option(4, whole(1), "Query concepts that a spike mixes.")
    noise: float = option(0.1, number(0, 1e6), "Noise of each coordinate.")
    seed: int = option(0, whole(0), "The first seed.")

    def world(self, seed: int, support: int) -> World:
        return World(
            self.concepts,
            self.dim,
            self.tokens,
            support,
            self.shared,
            self.mixed,
            self.noise,
            self.queries,
            max(*self.lengths, *self.train_length),
            seed,
        )

    def trials(self) -> Iterator[Trial]:
        """Every trial, the pools of a seed one after the other."""
        seeds = range(self.seed, self.seed + self.seeds)
        for length, support, seed, pool in itertools.product(self.train_length, self.support, seeds, self.pool):
            yield Trial(pool, seed, length, support)
