"""Cases: a query and the documents to score. Small ones that can be read, ones of real sizes, and the way from one to
the other.

Every number is exact in float16, so that no scorer is blamed for the precision it stores vectors in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

QUARTERS = np.array([at / 4 for at in range(-8, 9) if at], np.float32)
SHOWN = 24  # numbers of a case that are printed; of a larger one its sizes
PLACES = 16  # where a cut of one size is tried


@dataclass(frozen=True, eq=False)
class Case:
    """query: float32 (t, d); documents: n of float32 (p, d)."""

    query: np.ndarray
    documents: tuple[np.ndarray, ...]

    @property
    def tokens(self) -> int:
        return len(self.query)

    @property
    def patches(self) -> list[int]:
        return [len(document) for document in self.documents]

    @property
    def numbers(self) -> int:
        return self.query.size + sum(document.size for document in self.documents)


def small(*sizes: Sequence[int]) -> Iterator[Case]:
    """Quarters between −2 and 2, 1 or 2 tokens and dimensions. sizes: patches of each document, by case."""
    for patches in sizes:
        for tokens, dim in ((1, 1), (2, 1), (2, 2)):
            for seed in range(3):
                random = np.random.default_rng([seed, tokens, dim, *patches])
                query, *documents = (random.choice(QUARTERS, (rows, dim)) for rows in (tokens, *patches))
                yield Case(query, tuple(documents))


def real(tokens: int, dim: int, patches: Sequence[int], lean: float = 0.0, seeds: int = 2) -> Iterator[Case]:
    """Unit vectors, as models give. lean: 0 for documents in any direction, 1 towards the query, −1 away from it."""
    for seed in range(seeds):
        random = np.random.default_rng([seed, tokens, dim, *patches])
        topic = random.standard_normal(dim) / np.sqrt(dim)
        query, *documents = (
            _unit(0.7 * random.standard_normal((rows, dim)) / np.sqrt(dim) + sign * topic)
            for rows, sign in zip((tokens, *patches), (1.0, *[lean] * len(patches)), strict=True)
        )
        yield Case(query, tuple(documents))


def ending(tokens: int, dim: int, patches: int) -> Iterator[Case]:
    """One document that points away from the query, but for its last patch, which is the query's first token."""
    for case in real(tokens, dim, [patches], lean=-1.0, seeds=1):
        yield Case(case.query, (np.concatenate([case.documents[0][:-1], case.query[:1]]),))


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


def narrow(case: Case, dim: int) -> Case:
    """The first dimensions alone."""
    return Case(case.query[:, :dim], tuple(document[:, :dim] for document in case.documents))


def smaller(case: Case) -> Iterator[Case]:
    """Cases with less in them, the largest cuts first: tokens, dimensions, documents, patches; then plainer numbers."""
    query, documents = case.query, case.documents
    for places in _cuts(len(query)):
        yield Case(query[places], documents)
    for places in _cuts(query.shape[1]):
        yield Case(query[:, places], tuple(document[:, places] for document in documents))
    for most in (1, 2, max(case.patches) // 2):
        if 0 < most < max(case.patches):
            yield Case(query, tuple(document[:most] for document in documents))
    for places in _cuts(len(documents)):
        yield Case(query, tuple(documents[at] for at in places))
    for at, document in enumerate(documents[:PLACES]):
        for places in _cuts(len(document)):
            yield Case(query, (*documents[:at], document[places], *documents[at + 1 :]))
    yield from _plainer(case)


def _cuts(count: int) -> Iterator[np.ndarray]:
    """Positions that stay when a part is cut out, large parts first; one position at least."""
    if count > 2:
        yield np.array([0])
    size = count // 2
    while size:
        for start in range(0, count, size)[:PLACES]:
            yield np.delete(np.arange(count), slice(start, start + size))
        size //= 2


def _plainer(case: Case) -> Iterator[Case]:
    """All numbers, or in a small case any one, become 1 or −1, or all quarters; or the first gets positive."""
    flat = np.concatenate([case.query.ravel(), *(document.ravel() for document in case.documents)])
    if flat[0] < 0:
        yield _filled(case, -flat)
    quarters = np.round(flat * 4) / 4
    if (quarters != flat).any():
        yield _filled(case, quarters)
    places = range(len(flat)) if len(flat) <= SHOWN else ()
    for at in [slice(None), *places]:
        for value in (1.0, -1.0):
            changed = flat.copy()
            changed[at] = value
            if (np.abs(flat[at]) != 1).any():
                yield _filled(case, changed)


def _filled(case: Case, flat: np.ndarray) -> Case:
    """A case of the same shapes that holds other numbers."""
    arrays = [case.query, *case.documents]
    parts = np.split(flat.astype(np.float32), np.cumsum([array.size for array in arrays])[:-1])
    query, *documents = (part.reshape(array.shape) for part, array in zip(parts, arrays, strict=True))
    return Case(query, tuple(documents))


def text(case: Case) -> str:
    """A case in words: its numbers, or if these are many its sizes."""
    if case.numbers <= SHOWN:
        listed = [_vectors(document) for document in case.documents]
        noun = "documents" if len(listed) > 1 else "document"
        return f"query {_vectors(case.query)}, {noun} {_listing(listed)}"
    patches, counted = case.patches, f"{len(case.documents)} documents"
    if len(patches) == 1:
        sizes = f"a document of {_count(patches[0], 'patch')}"
    elif len(set(patches)) == 1:
        sizes = f"{counted} of {_count(patches[0], 'patch')}"
    else:
        sizes = f"{counted} of {_listing([str(one) for one in patches])} patches"
    return f"a query of {_count(case.tokens, 'token')}, {sizes}, {_count(case.query.shape[1], 'dimension')}"


def number(value: float, digits: int = 6) -> str:
    """A number that shows it is a fraction: ``-1.0``, ``0.25``."""
    shown = f"{value:.{digits}g}"
    return f"{shown}.0" if shown.lstrip("-").isdigit() else shown


def _vectors(vectors: np.ndarray) -> str:
    return "[" + ", ".join("[" + ", ".join(number(one, 4) for one in row) + "]" for row in vectors.tolist()) + "]"


def _count(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def _listing(words: Sequence[str], most: int = 6) -> str:
    if len(words) > most:
        words = [*words[:most], f"{len(words) - most} more"]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
