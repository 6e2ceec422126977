"""The scoring pass on a device such as a GPU, through the operators' own torch functions.

A run's work is laid out flat. A lane is a query token and a document that its query is scored with; lanes of a document
lie side by side, and so do those of a (query, document) pair. A tile is a document and some of its lanes. Tiles of like
size are multiplied and reduced together, each padded to the largest: patches by slots that hold MASKED, lanes by the
tile's last lane again.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from harness.aggregators import MASKED, Aggregator
from harness.errors import first_line
from harness.vectors.shards import part
from harness.vectors.streams import Streams

if TYPE_CHECKING:
    from harness.scoring.sweep import Run

HELD = 1 << 25  # numbers a batch holds, unless one tile has more: similarities, and the vectors they are products of
LANES = 512  # most lanes of a tile
PIECE = 1 << 20  # lanes whose scores are held at once, unless one pair has more
ALIKE = 32  # tiles whose patches differ by less may share a batch

_busy = threading.Lock()  # one piece at a time is on the device, so that its memory does not grow with threads


@dataclass(frozen=True)
class Piece:
    """Some pairs of a run. ``streams`` and ``rows`` are host arrays, sent to the device when their turn comes.

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

    def tiles(self, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Document, first lane, and the lane after the last, of tiles of at most ``width`` lanes: int64 (n) each."""
        number = -(-np.diff(self.bounds) // width)
        document = np.repeat(np.arange(len(number)), number)
        within = np.arange(len(document)) - np.repeat(np.cumsum(number) - number, number)
        first = self.bounds[document] + within * width
        return document, first, np.minimum(first + width, self.bounds[document + 1])


def ways(aggregators: Sequence[Aggregator], device: torch.device) -> Iterator[tuple[list[int], Callable]]:
    """Which operators go through which pass on a device: Triton where it runs and has them, torch for all others."""
    fused: list[int] = []
    if runs_triton(device):
        from harness.scoring.fused import has, score_fused

        if fused := [at for at, one in enumerate(aggregators) if has(one)]:
            yield fused, score_fused
    if others := [at for at in range(len(aggregators)) if at not in fused]:
        yield others, score_padded


def runs_triton(device: torch.device) -> bool:
    return device.type == "cuda" and not no_triton(device)


@functools.cache
def no_triton(device: torch.device) -> str:
    """Why Triton does not run on a device, or nothing: it may be missing, a C compiler too, or the GPU be too old."""
    try:
        from harness.scoring.fused import attempt

        attempt(device)
    except Exception as error:  # whatever stops it, torch does the work
        return first_line(error)
    return ""


def notes(device: torch.device | None) -> list[str]:
    """What a run on that device must say of its scoring pass."""
    reason = no_triton(device) if device is not None else ""
    return [f"no Triton here ({reason}): the sweep runs in torch"] if reason else []


def score_padded(cut: Streams, tokens: Tensor, bounds, aggregators: Sequence[Aggregator], run: Run) -> np.ndarray:
    """Scores of a run's pairs on the tokens' device, float32 (A, L, N). tokens: float32 (T, d)."""
    return score_pieces(functools.partial(_score, tokens, aggregators), cut, bounds, run)


def score_pieces(score: Callable[[Piece], Tensor], cut: Streams, bounds: np.ndarray, run: Run) -> np.ndarray:
    """Sums over a run's pairs, float32 (…, N), of what a function gives for every lane of a piece, (…, W)."""
    parts = []
    for piece in pieces(cut, bounds, run):
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


def pieces(cut: Streams, bounds: np.ndarray, run: Run) -> Iterator[Piece]:
    """A run's pairs in order, as many at a time as have PIECE lanes together, but at least one."""
    lanes = np.concatenate([[0], np.cumsum(np.diff(bounds)[run.queries])])
    first = 0
    while first < len(run.queries):
        last = max(first + 1, int(np.searchsorted(lanes, lanes[first] + PIECE, side="right")) - 1)
        begin, end = np.searchsorted(run.pairs, [first, last - 1], side="right") - 1  # its first and last document
        documents = np.arange(begin, end + 1)
        yield _piece(cut, bounds, run, documents, np.clip(run.pairs[begin : end + 2], first, last))
        first = last


def _piece(cut: Streams, bounds: np.ndarray, run: Run, documents: np.ndarray, by_document: np.ndarray) -> Piece:
    """by_document: int64 (D + 1), the pairs of each document, of those in the piece."""
    queries = run.queries[by_document[0] : by_document[-1]]
    sizes = np.diff(bounds)[queries]
    pairs = np.concatenate([[0], np.cumsum(sizes)])
    parts, own = [], part(cut.vectors, run.shard)
    for number in documents:
        row, start = int(run.rows[number]), int(run.starts[number])
        parts += [own[start : start + int(cut.kept(row))], cut.filler(row)]
    counts = cut.counts(run.rows[documents])
    return Piece(
        streams=np.concatenate(parts),
        starts=np.cumsum(counts[:, -1]) - counts[:, -1],
        counts=counts,
        rows=np.arange(pairs[-1]) - np.repeat(pairs[:-1] - bounds[queries], sizes),
        bounds=pairs[by_document - by_document[0]],
        pairs=pairs,
        queries=queries,
        documents=np.repeat(run.rows[documents], np.diff(by_document)),
    )


def _score(tokens: Tensor, aggregators: Sequence[Aggregator], piece: Piece) -> Tensor:
    """Scores of a piece's lanes, float32 (A, L, W)."""
    out = torch.empty((len(aggregators), piece.counts.shape[1], len(piece.rows)), device=tokens.device)
    for documents, lanes, sims in products(tokens, piece):
        stops = piece.counts[documents].max(axis=0).tolist()  # past a shorter document's end its slots are MASKED
        for a, aggregator in enumerate(aggregators):
            state, seen = None, 0
            for at, stop in enumerate(stops):
                if stop > seen:
                    part = aggregator.reduce(sims[..., seen:stop])
                    state, seen = part if state is None else aggregator.merge(state, part), stop
                out[a, at][lanes] = aggregator.finish(state).float()
    return out


def products(tokens: Tensor, piece: Piece, beside: int = 0) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """A piece's similarities, batch by batch of B tiles: documents (B), lanes (B, w), and float32 (B, w, p).

    tokens: float32 (T, d); beside: further numbers that the caller will hold for every lane.
    """
    document, first, last = piece.tiles(LANES)
    rows, streams = (torch.from_numpy(one).to(tokens.device) for one in (piece.rows, piece.streams))
    for batch in _batches(last - first, piece.counts[document, -1] + beside, tokens.shape[1]):
        mine = document[batch]
        lanes = _ranges(first[batch], last[batch], tokens.device)
        slots = _ranges(piece.starts[mine], piece.starts[mine] + piece.counts[mine, -1], tokens.device)  # (B, p)
        sims = torch.bmm(tokens[rows[lanes]], streams[slots].float().mT)
        repeated = slots[:, 1:] == slots[:, :-1]  # past a document's end
        sims[..., 1:].masked_fill_(repeated[:, None], MASKED)
        yield mine, lanes, sims


def _ranges(first: np.ndarray, last: np.ndarray, device: torch.device) -> Tensor:
    """first … last − 1 of each, int64 (B, longest); shorter ones go on with last − 1."""
    begin, end = (torch.from_numpy(one).to(device)[:, None] for one in (first, last))
    return torch.minimum(begin + torch.arange(int((last - first).max()), device=device), end - 1)


def _batches(lanes: np.ndarray, patches: np.ndarray, d: int) -> Iterator[np.ndarray]:
    """Tiles of like size, by index: as many together as keep what they hold, padded, within HELD, but at least one."""
    like = -(-patches // ALIKE)
    order = np.lexsort((lanes, like))
    start, deep = 0, 0
    for at, tile in enumerate(order):
        deep = max(deep, int(patches[tile]))
        wide = int(lanes[tile])  # ascending among tiles of like patches
        held = (at - start + 1) * (wide * deep + (wide + deep) * d)
        if at > start and (like[tile] != like[order[start]] or held > HELD):
            yield order[start:at]
            start, deep = at, int(patches[tile])
    yield order[start:]
