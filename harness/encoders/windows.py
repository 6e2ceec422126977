"""Texts longer than a model: encoded in windows that overlap, each token where it stands most centrally."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import OptionError

LONG = ("cut", "windows")
"""What becomes of a text that is longer than the model takes."""


@dataclass(frozen=True)
class Windows:
    """Windows of ``size`` tokens, each beginning ``stride`` tokens after the one before; the last ends with the text.

    Sizes are in tokens as the model takes them: every window has its own special tokens, marker and prompt.
    None stands for all that the model takes, and for half of a window's own tokens of the text.
    """

    size: int | None = None
    stride: int | None = None

    def limit(self, model: int) -> int:
        """Tokens of a window for a model that takes so many. Raises OptionError if the model takes fewer."""
        if self.size is not None and self.size > model:
            raise OptionError(f"window {self.size:,}: the model takes {model:,} tokens at most")
        return self.size or model

    def starts(self, count: int, space: int) -> list[int]:
        """Where windows begin in a text of ``count`` tokens, of which each holds ``room``.

        Raises OptionError if they would leave tokens out.
        """
        stride = max(1, space // 2) if self.stride is None else self.stride
        if not 1 <= stride <= space:
            line = f"stride {stride:,}: a window holds {max(space, 0):,} tokens of the text"
            raise OptionError(f"{line}; give a --stride from 1 to that, or a larger --window")
        return [*range(0, count - space, stride), count - space]


def central(starts: Sequence[int], count: int, space: int) -> list[tuple[int, int]]:
    """The tokens that each window gives, (begin, end): those nearer to its middle than to any other's.

    A token as near to two middles belongs to the earlier window.
    """
    edges = [(start + after + space + 1) // 2 for start, after in itertools.pairwise(starts)]
    return list(zip([0, *edges], [*edges, count], strict=True))
