"""How figures are written in prose and tables: decimals, shares, p-values, intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Any

LEVEL = 0.05  # of the corrected p


def fixed(value: float, places: int = 3) -> str:
    """``0.634``; no minus before a zero."""
    return minus(f"{round(value, places) + 0.0:,.{places}f}")


def signed(value: float, places: int = 3) -> str:
    """``+0.073``, ``−0.218``."""
    return minus(f"{round(value, places) + 0.0:+.{places}f}")


def percent(value: float, places: int = 0) -> str:
    """``94 %``."""
    return minus(f"{100 * value:.{places}f} %")


def added(value: float) -> str:
    """``+9.5%``, of a time."""
    return f"{value:+.1%}"


def kept(value: float) -> str:
    """A share retained: ``28 %``, or ``× 14`` where it is tenfold or more."""
    return percent(value) if value < 10 else f"× {value:.0f}"


def times(value: float) -> str:
    """``6.10 ×``."""
    return f"{value:.2f} ×"


def whole(value: float) -> str:
    """``5,183``."""
    return f"{value:,.0f}"


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, zeros included: ``62.9``, ``127``."""
    places = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else digits - 1
    return f"{value:.{places}f}"


def p_value(p: float) -> str:
    """``p = 0.0065``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def at_least(values: Iterable[float]) -> str:
    """``p ≥ 0.11``: what the smallest of several is rounded down to."""
    least = min(values)
    return "p = 1" if least >= 1 else f"p ≥ {cut(least, ROUND_FLOOR)}"


def at_most(values: Iterable[float]) -> str:
    """``p ≤ 3.4e-4``: what the largest of several is rounded up to."""
    return f"p ≤ {cut(max(values), ROUND_CEILING)}"


def cut(value: float, rounding: str) -> str:
    """Two significant digits, rounded this way."""
    shown = Context(prec=2, rounding=rounding).create_decimal(Decimal(value))
    return f"{float(shown):.2g}" if value >= 0.001 else f"{float(shown):.1e}".replace("e-0", "e-")


def power_above(p: float) -> str:
    """The next power of ten: ``1e-80`` of 4e-81."""
    return f"1e{math.floor(math.log10(p)) + 1}" if p else "1e-300"


def span(values: Iterable[float], places: int = 2) -> str:
    """``0.92–0.94``, or one number where both ends are written alike."""
    ends = list(values)
    low, high = fixed(min(ends), places), fixed(max(ends), places)
    return low if low == high else f"{low}–{high}"


def percents(values: Iterable[float]) -> str:
    """``92–94 %``."""
    ends = list(values)
    low, high = f"{100 * min(ends):.0f}", f"{100 * max(ends):.0f}"
    return f"{high} %" if low == high else f"{low}–{high} %"


def interval(row: dict[str, Any], name: str = "ci", places: int = 3) -> str:
    """``[0.658, 0.746]``, of the columns ``<name>_low`` and ``<name>_high``."""
    return f"[{fixed(row[f'{name}_low'], places)}, {fixed(row[f'{name}_high'], places)}]"


def percent_interval(row: dict[str, Any], name: str = "retained") -> str:
    """``[62, 74]`` of shares."""
    return f"[{100 * row[f'{name}_low']:.0f}, {100 * row[f'{name}_high']:.0f}]"


def half(row: dict[str, Any]) -> str:
    """``± 0.023``: half the interval."""
    return f"± {fixed((row['ci_high'] - row['ci_low']) / 2)}"


def dagger(row: dict[str, Any]) -> str:
    """The mark of a difference, by its corrected p."""
    return " †" if row["p_holm"] < LEVEL else ""


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def minus(text: str) -> str:
    """With the sign of subtraction for a hyphen."""
    return text.replace("-", "−")


FILTERS = {
    "fixed": fixed,
    "signed": signed,
    "percent": percent,
    "added": added,
    "kept": kept,
    "times": times,
    "whole": whole,
    "significant": significant,
    "p_value": p_value,
    "at_least": at_least,
    "at_most": at_most,
    "power_above": power_above,
    "span": span,
    "percents": percents,
    "interval": interval,
    "percent_interval": percent_interval,
    "half": half,
    "dagger": dagger,
    "listed": listed,
}
