"""From rows of token ids to vectors, for every family that reads texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.encoders.rows import Reading, Row
from harness.encoders.windows import Windows
from harness.records import Document, Query

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

TOKENS = 8192  # tokens a batch, padding included: enough for a core's products, few enough for its caches


class TextEncoder:
    """An encoder of texts: a family says how texts are read, and what its model makes of rows.

    limit: most tokens that the model takes; unit: whether every vector is divided by its length; windows: how documents
    that are longer are read, which are cut off without; vocabulary: the folder of its tokenizer.
    """

    device: str
    limit: int
    vocabulary: Path
    unit: bool = True
    windows: Windows | None = None

    def facts(self, role: str) -> dict[str, Any]:
        """What decides the vectors of a role besides the files, and besides windows."""
        raise NotImplementedError

    def reading(self, role: str) -> Reading:
        raise NotImplementedError

    def forward(self, ids: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Ids (b, t) and which of them are attended to (b, t) → vectors (b, t, d)."""
        raise NotImplementedError

    def recipe(self, role: str) -> dict[str, Any]:
        if role == "query" or self.windows is None:
            return self.facts(role)
        return {**self.facts(role), "window": self.windows.limit(self.limit), "stride": self.windows.stride or "half"}

    def encode(self, items: Sequence[Document | Query], role: str) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Batches of (index, float16 (p, d)), longest rows first."""
        reading = self._read(role)
        rows = reading.rows([item.text for item in items])
        flat = [(at, number) for at, several in enumerate(rows) for number in range(len(several))]
        lengths = [len(rows[at][number].ids) for at, number in flat]
        parts: list[dict[int, np.ndarray]] = [{} for _ in rows]

        def encoded(batch: list[int]) -> list[np.ndarray]:
            return self._vectors([rows[flat[at][0]][flat[at][1]] for at in batch], reading.pad)

        order = list(batches(lengths, self.device))
        for batch, vectors in zip(order, abreast(encoded, order, self.device), strict=True):
            whole = []
            for (at, number), part in zip([flat[at] for at in batch], vectors, strict=True):
                parts[at][number] = part
                if len(parts[at]) == len(rows[at]):
                    whole.append((at, np.concatenate([parts[at][number] for number in sorted(parts[at])])))
                    parts[at] = {}
            yield whole

    def tokens(self, text: str, role: str) -> list[str]:
        """The token that each vector of a text belongs to."""
        return self._read(role).strings(text)

    def _read(self, role: str) -> Reading:
        reading = self.reading(role)
        return replace(reading, windows=self.windows) if self.windows and role == "document" else reading

    def _vectors(self, rows: Sequence[Row], pad: int) -> list[np.ndarray]:
        """The vectors of a batch of rows, each float16 (p, d)."""
        import torch

        if not len(rows[0].ids):  # the longest; a tokenizer without special tokens makes nothing of an empty text
            return [np.empty((0, 0), np.float16)] * len(rows)
        ids, attended = padded(rows, pad)
        with torch.inference_mode():
            vectors = self.forward(torch.from_numpy(ids).to(self.device), torch.from_numpy(attended).to(self.device))
            vectors = vectors.float()
            vectors = torch.nn.functional.normalize(vectors, dim=-1) if self.unit else vectors
            arrays = vectors.half().cpu().numpy()  # (b, t, d)
        return [array[: len(row.ids)][row.scored] for row, array in zip(rows, arrays, strict=True)]


def padded(rows: Sequence[Row], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows as one array of ids (b, t), and one of ones and zeros that says which are attended to."""
    longest = max(len(row.ids) for row in rows)
    ids, attended = np.full((len(rows), longest), pad), np.zeros((len(rows), longest), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row.ids)], attended[at, : len(row.ids)] = row.ids, row.attended
    return ids, attended


def batches(lengths: Sequence[int], device: str) -> Iterator[list[int]]:
    """Positions, longest first, in batches whose rows × the longest row stay within the token budget.

    On the CPU the rows of a batch are equally long. Padding would change how attention's sums are split, and with that
    the last bits; so a vector depends on its text alone, not on what else is encoded.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + max(1, TOKENS // max(1, longest))]
        if device == "cpu":
            batch = [at for at in batch if lengths[at] == longest]
        yield batch
        start += len(batch)


def abreast(work: Callable[[list[int]], T], batches: Iterable[list[int]], device: str) -> Iterator[T]:
    """What work makes of every batch, in order. On the CPU batches run side by side, each on one thread alone: their
    bits do not depend on the number of threads, and no thread waits for another."""
    if device != "cpu":
        yield from map(work, batches)
        return
    import torch

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "encode", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from pool.map(work, batches)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # MKL's are the whole process's
