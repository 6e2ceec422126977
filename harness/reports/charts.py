"""Charts of a run's tables, as SVG or PNG; the renderer escapes whatever text they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from harness.errors import plain

NUL = "\\u0000"  # as JSON writes it
NAME = 60  # letters of an id
COLOURS = {"before, own": "#999999", "after, own": "#0072b2", "after, injected": "#d55e00"}
SHAPES = {"before, own": "circle", "after, own": "square", "after, injected": "diamond"}


def alignment(explained: pd.DataFrame) -> Any:
    """For every query token the winning similarity before and after injection, coloured by where the winner is from."""
    table = explained.assign(position=explained.groupby("inject").cumcount())
    table["label"] = table["position"].astype(str).str.zfill(2) + " " + table["token"]
    before = table.assign(winner="before, own", similarity=table["before_similarity"])
    after = table.assign(winner="after, " + table["after_source"], similarity=table["after_similarity"])
    first = table.iloc[0]
    query, document = (plain(str(first[name]), NAME) for name in ("query_id", "doc_id"))
    title = f"Query {query}, document {document}, {first['count']} injected patches"
    kinds = alt.Column("inject:N", title=title, sort=list(table["inject"].unique()))
    shown = ["label", "winner", "similarity", "inject"]
    return tokens(pd.concat([before, after])[shown]).properties(width=260).facet(column=kinds)


def tokens(data: Any) -> Any:
    """A line a query token, a mark a winner. data: ``label, winner, similarity``."""
    base = alt.Chart(data).encode(y=alt.Y("label:N", title="query token", axis=alt.Axis(grid=False)))
    rule = base.mark_rule(color="#999999", opacity=0.6).encode(x="min(similarity):Q", x2="max(similarity):Q")
    domain = list(COLOURS)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.X("similarity:Q", title="similarity of the winning patch", scale=alt.Scale(zero=False)),
        color=alt.Color(
            "winner:N",
            scale=alt.Scale(domain=domain, range=list(COLOURS.values())),
            legend=alt.Legend(title=None, orient="top"),
        ),
        shape=alt.Shape("winner:N", scale=alt.Scale(domain=domain, range=list(SHAPES.values()))),
        tooltip=["label:N", "winner:N", alt.Tooltip("similarity:Q", format=".4f")],
    )
    return alt.layer(rule, points)


def live_alignment() -> Any:
    """The page's chart of one query's tokens: a Vega-Lite specification whose data set ``points`` is empty."""
    chart = tokens(alt.NamedData("points")).properties(width="container", datasets={"points": []})
    return chart.configure(background="transparent").to_dict()


def save(chart: alt.TopLevelMixin, path: Path) -> None:
    """Write a chart as .svg, .png, or .html that opens without a network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if NUL in (text := chart.to_json()):  # the renderer ends the process where a text holds one
        chart = alt.Chart.from_json(text.replace(NUL, "\\ufffd"))
    if path.suffix == ".html":
        chart.save(path, inline=True)
    else:
        chart.save(path, scale_factor=2 if path.suffix == ".png" else 1)
