"""Colours that colour-blind readers tell apart (Okabe and Ito, 2008, without yellow), and shapes beside them."""

from __future__ import annotations

from collections.abc import Sequence

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def palette_of(names: Sequence[str]) -> dict[str, str]:
    """A colour a name, in order: the same names get the same colours in every chart of a report."""
    return {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(dict.fromkeys(names))}


def shape_of(names: Sequence[str]) -> dict[str, str]:
    return {name: SHAPES[at % len(SHAPES)] for at, name in enumerate(dict.fromkeys(names))}
