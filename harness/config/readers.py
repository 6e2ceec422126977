"""Readers of options, from text or from YAML: each says what is wrong with a value and what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from harness.errors import OptionError, Problems, unknown

LONGEST = 100_000  # patches of a document, own or injected


def _each(key: str, read: Callable[[str], Any]) -> Callable[[Any, Problems], tuple]:
    """A reader of text with commas (not those inside parentheses) or a list; a part given twice is a mistake."""

    def reader(value: Any, problems: Problems) -> tuple:
        parts = (
            re.split(r",(?![^()]*\))", value)
            if isinstance(value, str)
            else value
            if isinstance(value, list | tuple)
            else [value]
        )
        found: list[Any] = []
        for part in map(str, parts):
            with problems:
                if not part.strip():
                    raise OptionError(f"{key}: an empty entry in {str(value)[:80]!r}")
                item = read(part.strip())
                if item in found:
                    raise OptionError(f"{key}: {item} is given twice")
                found.append(item)
        if not parts:
            problems.add(f"{key}: nothing given")
        return tuple(sorted(found) if found and isinstance(found[0], int) else found)

    return reader


def _whole(noun: str, least: int, most: int = 10**9) -> Callable[[Any], int]:
    """A reader of a whole number, from text such as 8800000 or 8.8e6, or from YAML."""

    def read(value: Any) -> int:
        text = str(value).strip()
        if re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?", text) and float(text).is_integer():
            text = str(int(float(text))) if re.search(r"[.eE]", text) else text
        if not re.fullmatch(r"[-+]?[0-9]+", text):
            raise OptionError(f"{noun} {text[:40]!r} is not a whole number")
        if len(text) > 13 or int(text) > most:
            raise OptionError(f"{noun} {text[:13]} must be at most {most:,}")
        if int(text) < least:
            raise OptionError(f"{noun} {text} must be at least {least}")
        return int(text)

    return read


def _known(noun: str, known: Callable[[], Iterable[str]]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in list(known()):
            raise OptionError(unknown(noun, str(value), known()))
        return str(value)

    return read


def _number(noun: str, least: float, most: float) -> Callable[[Any], float]:
    """A reader of a number, the bounds included."""

    def read(value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(f"{noun} {str(value)[:40]!r} is not a number") from None
        if not least <= number <= most:
            raise OptionError(f"{noun} {number} must be between {least:g} and {most:g}")
        return number

    return read


def _pool(spec: str) -> str:
    from harness.aggregators import AGGREGATORS

    return str(AGGREGATORS.make(spec))


def _measure(name: Any) -> str:
    from harness.statistics import measures

    return str(measures.parse(str(name)))


def _checkpoint(value: Any) -> str:
    from harness import encoders

    encoders.check(str(value))
    return str(value)


def _registered(noun: str, module: str, attribute: str) -> Callable[[Any], str]:
    """A reader of a name that a room registers; the room is imported when a value is read."""
    import importlib

    return _known(noun, lambda: getattr(importlib.import_module(f"harness.{module}"), attribute))


def _one(read: Callable[[Any], Any]) -> Callable[[Any, Problems], Any]:
    return lambda value, _: read(value)


READERS: dict[str, Callable[[Any, Problems], Any]] = {
    "dataset": _one(str),
    "split": _one(str),
    "checkpoint": _one(_checkpoint),
    "pool": _each("pool", _pool),
    "lengths": _each("lengths", _whole("length", 1, LONGEST)),
    "counts": _each("counts", _whole("count", 0, LONGEST)),
    "arms": _each("arms", _registered("arm", "lengths", "ARMS")),
    "inject": _each("inject", _registered("injection", "injection", "INJECTIONS")),
    "measures": _each("measures", _measure),
    "fill": _one(_registered("fill", "lengths", "FILLS")),
    "candidates": _one(_registered("candidates", "candidates", "SOURCES")),
    "dtype": _one(_registered("dtype", "encoders", "DTYPES")),
    "index": _one(str),
    "cosine": _one(_number("cosine", -1, 1)),
    "evidence": _one(_whole("evidence", 1)),
    "depth": _one(_whole("depth", 1)),
    "limit": _one(_whole("limit", 1)),
    "pairs": _one(_whole("pairs", 2)),
    "tokens": _one(_whole("tokens", 1)),
    "seed": _one(_whole("seed", 0)),
    "train_length": _each("train length", _whole("train length", 1, LONGEST)),
    "support": _each("support", _whole("support", 1)),
    "shared": _one(_whole("shared", 0)),
    "noise": _one(_number("noise", 0, 1e6)),
    "rate": _one(_number("rate", 1e-9, 1e3)),
    "temperature": _one(_number("temperature", 1e-6, 1e6)),
    "what": _one(_known("thing to train", lambda: ("projection", "encoder"))),
    "format": _one(_registered("format", "encoders.formats", "FORMATS")),
    "expansion": _one(_known("expansion", lambda: ("mask", "none"))),
    "start": _one(_registered("beginning", "training.projection", "BEGINNINGS")),
    "measure": _one(_measure),
    "length": _one(_whole("length", 1, LONGEST)),
    "query_length": _one(_whole("query length", 4)),
    "held_out": _one(_number("held-out share", 0.001, 0.9)),
    "epochs": _one(_whole("epochs", 0)),
    "negatives": _one(_whole("negatives", 0, 1)),
    "documents": _one(_whole("documents", 1, 10**12)),
    "patches": _one(_whole("patches", 1, LONGEST)),
    "query_tokens": _one(_whole("query tokens", 1, LONGEST)),
    "dims": _one(_whole("dims", 1, LONGEST)),
    "gpu_tflops": _one(_number("gpu TFLOP/s", 1e-3, 1e6)),
    "gpu_bandwidth": _one(_number("gpu bandwidth", 1e-3, 1e6)),
    **{
        name: _one(_whole(name, 1))
        for name in ("seeds", "every", "queries", "gallery", "batch", "width", "concepts", "dim", "mixed")
    },
}
