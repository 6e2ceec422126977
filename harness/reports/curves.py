"""Charts of a report's tables: a curve with its interval as a band, or bars; side by side where there are panels.

The page draws the same chart from the same table, one panel at a time, with the rows that are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import pandas as pd

from harness.reports.content import Axes, Figure, Table
from harness.reports.palette import shape_of

POINTS = ["panel", "series", "at", "x", "y", "value", "beside", "low", "high", "n"]
WIDTH, HEIGHT = 300, 260


def points(table: Table) -> list[dict[str, Any]]:
    """What a chart shows of a table: a row for each cell of a column that has an x; None where there is no number."""
    shown = []
    for row in table.rows:
        if row.quiet:
            continue
        for column, cell in zip(table.columns, row.cells, strict=True):
            y = cell.beside if table.axes and table.axes.plots == "beside" else cell.value
            if column.x is not None and y is not None and y == y:
                real = {
                    name: None if (value := getattr(cell, name)) != value else value
                    for name in ("value", "beside", "low", "high", "n")
                }
                shown.append({"series": row.name, "at": column.name, "x": column.x, "y": y, **real})
    return shown


def draw(figure: Figure, palette: Mapping[str, str]) -> Any:
    """A figure for a file: its own chart, or its tables as panels that share both axes."""
    if figure.draw is not None:
        return figure.draw(palette).properties(title=figure.title)
    tables = figure.panels
    frame = pd.DataFrame(({"panel": panel(table), **row} for table in tables for row in points(table)), columns=POINTS)
    axes = tables[0].axes
    assert axes is not None
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, values=list(dict.fromkeys(frame["series"])))
    chart = layers(axes, sorted(set(frame["x"])), palette, legend)
    chart = chart.properties(width=WIDTH, height=HEIGHT, data=frame)
    if len(tables) == 1:
        return chart.properties(title=figure.title)
    return chart.facet(column=alt.Column("panel:N", title=None, sort=[panel(table) for table in tables])).properties(
        title=figure.title
    )


def panel(table: Table) -> str:
    return " ".join(f"{key} {value}" for key, value in table.where.items() if key != "measure") or table.title


def live(axes: Axes, xs: Iterable[float], palette: Mapping[str, str]) -> Any:
    """The page's chart of tables with these axes: a Vega-Lite specification whose data set ``points`` is empty."""
    chart = layers(axes, sorted(set(xs)), palette, None)
    chart = chart.properties(width="container", height=320, data=alt.NamedData("points"), datasets={"points": []})
    return chart.configure(background="transparent").to_dict()


def layers(axes: Axes, xs: list[float], palette: Mapping[str, str], legend: alt.Legend | None) -> Any:
    names, colours = list(palette), list(palette.values())
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=colours), legend=legend)
    tips = [alt.Tooltip("series:N", title="pool"), alt.Tooltip("at:N", title="at"), *tooltips(axes)]
    return (bars if axes.kind == "bars" else curve)(axes, xs, colour, names, tips)


def tooltips(axes: Axes) -> list[alt.Tooltip]:
    """Exact values, to six decimals, and over how many queries (pairs, seeds)."""
    named = [("value", "value")] + ([("beside", axes.beside)] if axes.beside else [])
    of = axes.beside if axes.plots == "beside" else "value"
    named += [("low", f"95 % low of {of}"), ("high", f"95 % high of {of}")]
    return [alt.Tooltip(f"{name}:Q", title=title, format=".6f") for name, title in named] + [alt.Tooltip("n:Q")]


def y_of(axes: Axes, zero: bool) -> alt.Y:
    return alt.Y(
        "y:Q",
        title=axes.y,
        scale=alt.Scale(zero=zero, nice=True),
        axis=alt.Axis(format="%" if axes.percent else ".2~f", grid=True, tickCount=6),
    )


def curve(axes: Axes, xs: list[float], colour: alt.Color, names: list[str], tips: list[alt.Tooltip]) -> Any:
    """Band, line, points; a hover anywhere is about the nearest point."""
    kinds: dict[str, dict[str, Any]] = {
        "log2": {"type": "log", "base": 2},
        "linear": {"type": "linear"},
        "symlog": {"type": "symlog", "constant": min((x for x in xs if x > 0), default=1)},
    }
    domain: dict[str, Any] = {"domain": [xs[0], xs[-1]], "nice": False} if len(xs) > 1 else {}
    scale: Any = alt.Scale(**{**kinds[axes.scale], **domain})
    x = alt.X(
        "x:Q",
        title=axes.x,
        scale=scale,
        axis=alt.Axis(values=xs, format="d", grid=False, labelOverlap=True, labelFlush=False),
    )
    y = y_of(axes, axes.percent)
    shapes = alt.Scale(domain=names, range=list(shape_of(names).values()))
    base = alt.Chart().encode(x=x, color=colour)
    span = {"y": alt.Y("low:Q", title=axes.y), "y2": "high:Q"}
    shape = alt.Shape("series:N", scale=shapes, legend=None)
    nearest = alt.selection_point(nearest=True, on="pointerover", empty=False)  # which point a hover is about
    return alt.layer(
        base.mark_area(opacity=0.12).encode(**span) if domain else base.mark_rule(opacity=0.5).encode(**span),
        base.mark_line(strokeWidth=2, clip=False).encode(y=y),
        base.mark_point(filled=True, opacity=1, size=70).encode(y=y, shape=shape),
        base.mark_point(filled=True, opacity=0, size=200).encode(y=y, tooltip=tips).add_params(nearest),
    )


def bars(axes: Axes, xs: list[float], colour: alt.Color, names: list[str], tips: list[alt.Tooltip]) -> Any:
    """Bars in groups, each with its interval."""
    order = [f"{x:g}" for x in xs]
    label = alt.X("label:O", title=axes.x, sort=order, axis=alt.Axis(labelAngle=0, grid=False))
    offset = alt.XOffset("series:N", sort=names, scale=alt.Scale(paddingInner=0.15))
    base = alt.Chart().transform_calculate(label="format(datum.x, 'd')").encode(x=label, xOffset=offset)
    return alt.layer(
        base.mark_bar().encode(y=y_of(axes, True), color=colour, tooltip=tips),
        base.mark_rule(color="#555555").encode(y=alt.Y("low:Q", title=axes.y), y2="high:Q"),
    )
