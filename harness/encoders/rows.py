"""From texts to what a model takes at once: rows of token ids, one for a text or one for each of its windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.encoders.windows import Windows, central

BEFORE, AFTER = -1, -2  # places of tokens that are not the text's own


@dataclass(frozen=True)
class Row:
    """What a model takes at once, arrays of (t): token ids, which are attended to, and which have a vector."""

    ids: np.ndarray
    attended: np.ndarray
    scored: np.ndarray


@dataclass(frozen=True)
class Marker:
    """A token that is put after the first one of every row."""

    id: int
    name: str


@dataclass(frozen=True)
class Reading:
    """How texts of one role become rows of token ids.

    limit: tokens of a row; what a text has beyond is cut off, or read in further rows if there are windows.
    prompt: put before every text. least: a row is grown to this many tokens with ``fill``; attends: whether these are
    attended to. skipped: ids that have no vector. replaced: ids in a text that count as fill. strips, lowers: what is
    done to a text first.
    """

    tokenizer: Any
    limit: int
    marker: Marker | None = None
    prompt: str = ""
    least: int = 0
    fill: int = 0
    attends: bool = False
    skipped: frozenset[int] = frozenset()
    replaced: frozenset[int] = frozenset()
    strips: bool = False
    lowers: bool = False
    windows: Windows | None = None

    @property
    def pad(self) -> int:
        """What shorter rows of a batch end with; no token attends to it."""
        return self.tokenizer.pad_token_id or 0

    def rows(self, texts: Sequence[str]) -> list[list[Row]]:
        """The rows of each text: one, or several where it is longer than a window."""
        before, after = self._frame()
        lead = self._inner([""], before, after)[0] if self.windows and self.prompt else []
        skipped, replaced = (np.array(sorted(ids), np.int64) for ids in (self.skipped, self.replaced))
        rows = []
        for inner in self._inner(texts, before, after):
            repeated = lead if inner[: len(lead)] == lead else []
            frame = [*before, *repeated], after
            rows.append([self._row(*span, skipped, replaced) for span in self._spans(inner[len(repeated) :], *frame)])
        return rows

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text and its prompt, without special ones, int64 (n, 2): all of them, and those that fit."""
        before, after = self._frame()
        whole = np.array([len(inner) for inner in self._inner(texts, before, after)], np.int64)
        return np.stack([whole, whole if self.windows else np.minimum(whole, self._room(before, after))], axis=1)

    def strings(self, text: str) -> list[str]:
        """The token that each vector of a text belongs to."""
        strings: list[str] = []
        for row in self.rows([text])[0]:
            ids = row.ids[row.scored].tolist()
            for id, string in zip(ids, self.tokenizer.convert_ids_to_tokens(ids), strict=True):
                strings.append(self.marker.name if self.marker and id == self.marker.id else string)
        return strings

    def _room(self, before: Sequence[int], after: Sequence[int]) -> int:
        """Tokens of a text that a row can hold."""
        limit = self.windows.limit(self.limit) if self.windows else self.limit
        return limit - len(before) - len(after) - bool(self.marker)

    def _frame(self) -> tuple[list[int], list[int]]:
        """Special tokens before and after every text."""
        whole, plain = (self._ids(["a"], special)[0] for special in (True, False))
        first = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
        return whole[:first], whole[first + len(plain) :]

    def _inner(self, texts: Sequence[str], before: Sequence[int], after: Sequence[int]) -> list[list[int]]:
        """Ids of whole texts, the prompt's included, without special tokens."""
        texts = [self.prompt + text for text in texts]
        texts = [text.strip() for text in texts] if self.strips else texts
        texts = [text.lower() for text in texts] if self.lowers else texts
        return [ids[len(before) : len(ids) - len(after)] for ids in self._ids(texts)]

    def _ids(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        if not texts:
            return []
        plain = {"return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        ids: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=special, **plain)["input_ids"]
        return ids

    def _spans(
        self, inner: list[int], before: Sequence[int], after: Sequence[int]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For every row its ids (t), and which of them have a vector in it if they are not skipped (t)."""
        space = self._room(before, after)
        if self.windows is None or len(inner) <= space:
            start = max(0, len(inner) - space) if self.tokenizer.truncation_side == "left" else 0
            starts, given = [start], [(start, start + space)]
        else:
            starts = self.windows.starts(len(inner), space)
            given = central(starts, len(inner), space)
        spans = []
        for number, (start, (begin, end)) in enumerate(zip(starts, given, strict=True)):
            ids, places = self._framed(inner[start : start + space], start, before, after)
            scored = (places >= begin) & (places < end)
            scored |= (places == BEFORE) & (number == 0) | (places == AFTER) & (number == len(starts) - 1)
            spans.append((ids, scored))
        return spans

    def _framed(
        self, part: Sequence[int], start: int, before: Sequence[int], after: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A row's ids (t), and the place of each in the text, or BEFORE or AFTER it."""
        ids = np.array([*before, *part, *after], np.int64)
        places = np.full(len(ids), BEFORE)
        places[len(before) : len(before) + len(part)] = np.arange(start, start + len(part))
        places[len(before) + len(part) :] = AFTER
        if self.marker:
            second = min(1, len(ids))
            ids, places = np.insert(ids, second, self.marker.id), np.insert(places, second, BEFORE)
        return ids, places

    def _row(self, ids: np.ndarray, scored: np.ndarray, skipped: np.ndarray, replaced: np.ndarray) -> Row:
        if len(replaced):
            ids = np.where(np.isin(ids, replaced), self.fill, ids)
        if len(skipped):
            scored = scored & ~np.isin(ids, skipped)
        more, count = max(0, self.least - len(ids)), len(ids)
        ids, scored = np.pad(ids, (0, more), constant_values=self.fill), np.pad(scored, (0, more), constant_values=True)
        if more and self.fill in self.skipped:
            scored[count:] = False
        return Row(ids, np.arange(len(ids)) < (len(ids) if self.attends else count), scored)
