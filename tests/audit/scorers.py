"""Scorers for the audit: one that is right, and for every law one that breaks it.

query: (t, d); documents: n of (p, d); a score a document.
"""

from __future__ import annotations

from collections import Counter

import numpy as np


def right(query, documents):
    """MaxSim as it should be: one document at a time, in float32."""
    return [(query.astype(np.float32) @ document.astype(np.float32).T).max(1).sum() for document in documents]


def padded(query, documents):
    """Documents padded with zero vectors to the longest, and no mask."""
    block = np.zeros((len(documents), max(map(len, documents)), query.shape[1]), np.float32)
    for row, document in zip(block, documents, strict=True):
        row[: len(document)] = document
    return np.einsum("td,npd->ntp", query.astype(np.float32), block).max(2).sum(1)


def scaled(query, documents):
    return [1.01 * score for score in right(query, documents)]


def floored(query, documents):
    return right(query, [np.append(document, 0 * document[:1], axis=0) for document in documents])


def centred(query, documents):
    """Scores less their mean over the call, where there are several."""
    scores = np.array(right(query, documents))
    return scores - scores.mean() if len(scores) > 1 else scores


def batched(query, documents):
    """Batches of 128 whose last is forgotten."""
    scores = np.array(right(query, documents))
    scores[128:] = 0.0
    return scores


def first_counts_more(query, documents):
    return [
        score + 0.1 * (query @ document[0]).sum()
        for score, document in zip(right(query, documents), documents, strict=True)
    ]


def ranked(query, documents):
    return sorted(right(query, documents), reverse=True)


def no_single_patch(query, documents):
    return [
        score if len(document) > 1 else 0.0 for score, document in zip(right(query, documents), documents, strict=True)
    ]


def cut_off(query, documents):
    return right(query, [document[:512] for document in documents])


def once_only(query, documents):
    """A document that was seen before is left at zero."""
    seen: Counter[bytes] = Counter()
    scores = right(query, documents)
    for at, document in enumerate(documents):
        seen[document.tobytes()] += 1
        scores[at] *= seen[document.tobytes()] == 1
    return scores


def by_place(query, documents):
    """Ties broken by a small sum at every other place in the list."""
    return [score + 2e-5 * (at % 2) for at, score in enumerate(right(query, documents))]


def summed_in_half(query, documents):
    return [(query @ document.T).max(1).sum(dtype=query.dtype) for document in documents]


def picky(query, documents):
    if query.dtype != np.float32:
        raise TypeError("float32 only\nand nothing else")
    return right(query, documents)


BROKEN = {
    "value": scaled,
    "negative similarities": floored,
    "companions": centred,
    "padding": padded,
    "order of patches": first_counts_more,
    "order of candidates": ranked,
    "one patch": no_single_patch,
    "long documents": cut_off,
    "duplicates": once_only,
    "ties": by_place,
    "half precision": summed_in_half,
}
