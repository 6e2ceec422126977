"""A task's work laid out flat, as a device takes it.

A lane is a query token and a document that its query is scored with; lanes of a document lie side by side, and so do
those of a (query, document) pair. A group is a document and some of its lanes. Groups of like size are multiplied and
reduced together, each padded to the largest: patches by slots that hold MASKED, lanes by the group's last lane again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from harness.aggregators import MASKED
from harness.scoring.tasks import Task
from harness.vectors.shards import part
from harness.vectors.streams import Streams

HELD = 1 << 25  # numbers a batch holds, unless one group has more: similarities, and the vectors they are products of
LANES = 512  # most lanes of a group
PIECE = 1 << 20  # lanes whose scores are held at once, unless one pair has more
ALIKE = 32  # groups whose patches differ by less may share a batch

_busy = threading.Lock()  # one piece at a time is on the device, so that its memory does not grow with threads


@dataclass(frozen=True)
class Piece:
    """Some pairs of a task. ``streams`` and ``rows`` are host arrays, sent to the device when their turn comes.

    streams: float16 (Σp, d), the documents' patches and filler, from starts, int64 (D), on; counts: int64 (D, L);
    rows: int64 (W), each lane's row among the tokens; bounds: int64 (D + 1), lanes of each document; pairs: int64
    (N + 1), lanes of each pair; queries, documents: int64 (N), whose pair it is, by row.
    """

    streams: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    rows: np.ndarray
    bounds: np.ndarray
    pairs: np.ndarray
    queries: np.ndarray
    documents: np.ndarray

    def groups(self, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Document, first lane, and the lane after the last, of groups of at most ``width`` lanes: int64 (n) each."""
        number = -(-np.diff(self.bounds) // width)
        document = np.repeat(np.arange(len(number)), number)
        within = np.arange(len(document)) - np.repeat(np.cumsum(number) - number, number)
        first = self.bounds[document] + within * width
        return document, first, np.minimum(first + width, self.bounds[document + 1])


def score_pieces(score: Callable[[Piece], Tensor], streams: Streams, bounds: np.ndarray, task: Task) -> np.ndarray:
    """Sums over a task's pairs, float32 (…, N), of what a function gives for every lane of a piece, (…, W)."""
    parts = []
    for piece in pieces(streams, bounds, task):
        with _busy, full_precision():
            scores = score(piece)
            sizes = torch.from_numpy(np.diff(piece.pairs)).to(scores.device)
            owner = torch.repeat_interleave(sizes)  # (W)
            sums = torch.zeros((*scores.shape[:-1], len(sizes)), dtype=torch.float64, device=scores.device)
            parts.append(sums.index_add_(-1, owner, scores.double()).float().cpu().numpy())
    return np.concatenate(parts, axis=-1)


@contextmanager
def full_precision() -> Iterator[None]:
    """Products of float32 in float32, whatever else the program has chosen for its own."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def pieces(streams: Streams, bounds: np.ndarray, task: Task) -> Iterator[Piece]:
    """A task's pairs in order, as many at a time as have PIECE lanes together, but at least one."""
    lanes = np.concatenate([[0], np.cumsum(np.diff(bounds)[task.queries])])
    first = 0
    while first < len(task.queries):
        last = max(first + 1, int(np.searchsorted(lanes, lanes[first] + PIECE, side="right")) - 1)
        begin, end = np.searchsorted(task.pairs, [first, last - 1], side="right") - 1  # its first and last document
        documents = np.arange(begin, end + 1)
        yield _piece(streams, bounds, task, documents, np.clip(task.pairs[begin : end + 2], first, last))
        first = last


def _piece(streams: Streams, bounds: np.ndarray, task: Task, documents: np.ndarray, by_document: np.ndarray) -> Piece:
    """by_document: int64 (D + 1), the pairs of each document, of those in the piece."""
    queries = task.queries[by_document[0] : by_document[-1]]
    sizes = np.diff(bounds)[queries]
    pairs = np.concatenate([[0], np.cumsum(sizes)])
    parts, own = [], part(streams.vectors, task.shard)
    for number in documents:
        row, start = int(task.rows[number]), int(task.starts[number])
        parts += [own[start : start + int(streams.own_counts(row))], streams.filler(row)]
    counts = streams.counts(task.rows[documents])
    return Piece(
        streams=np.concatenate(parts),
        starts=np.cumsum(counts[:, -1]) - counts[:, -1],
        counts=counts,
        rows=np.arange(pairs[-1]) - np.repeat(pairs[:-1] - bounds[queries], sizes),
        bounds=pairs[by_document - by_document[0]],
        pairs=pairs,
        queries=queries,
        documents=np.repeat(task.rows[documents], np.diff(by_document)),
    )


def products(tokens: Tensor, piece: Piece, beside: int = 0) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """A piece's similarities, batch by batch of B groups: documents (B), lanes (B, w), and float32 (B, w, p).

    tokens: float32 (T, d); beside: further numbers that the caller will hold for every lane.
    """
    document, first, last = piece.groups(LANES)
    rows, streams = (torch.from_numpy(array).to(tokens.device) for array in (piece.rows, piece.streams))
    for batch in _batches(last - first, piece.counts[document, -1] + beside, tokens.shape[1]):
        documents = document[batch]
        lanes = _ranges(first[batch], last[batch], tokens.device)
        starts = piece.starts[documents]
        slots = _ranges(starts, starts + piece.counts[documents, -1], tokens.device)  # (B, p)
        sims = torch.bmm(tokens[rows[lanes]], streams[slots].float().mT)
        repeated = slots[:, 1:] == slots[:, :-1]  # past a document's end
        sims[..., 1:].masked_fill_(repeated[:, None], MASKED)
        yield documents, lanes, sims


def _ranges(first: np.ndarray, last: np.ndarray, device: torch.device) -> Tensor:
    """first … last − 1 of each, int64 (B, longest); shorter ones go on with last − 1."""
    begin, end = (torch.from_numpy(array).to(device)[:, None] for array in (first, last))
    return torch.minimum(begin + torch.arange(int((last - first).max()), device=device), end - 1)


def _batches(lanes: np.ndarray, patches: np.ndarray, d: int) -> Iterator[np.ndarray]:
    """Groups of like size, by index: as many together as keep what they hold, padded, within HELD, but at least one."""
    like = -(-patches // ALIKE)
    order = np.lexsort((lanes, like))
    start, deep = 0, 0
    for at, group in enumerate(order):
        deep = max(deep, int(patches[group]))
        wide = int(lanes[group])  # ascending among groups of like patches
        held = (at - start + 1) * (wide * deep + (wide + deep) * d)
        if at > start and (like[group] != like[order[start]] or held > HELD):
            yield order[start:at]
            start, deep = at, int(patches[group])
    yield order[start:]
