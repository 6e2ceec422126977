"""Charts of a run's tables, as SVG or PNG; the renderer escapes whatever text they hold."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import pandas as pd

COLOURS = {"before, own": "#9d9d9d", "after, own": "#4c78a8", "after, injected": "#e45756"}


def alignment(explained: pd.DataFrame) -> alt.FacetChart:
    """For every query token the winning similarity before and after injection, coloured by where the winner is from."""
    table = explained.assign(position=explained.groupby("inject").cumcount())
    table["label"] = table["position"].astype(str).str.zfill(2) + " " + table["token"]
    before = table.assign(winner="before, own", similarity=table["before_similarity"])
    after = table.assign(winner="after, " + table["after_source"], similarity=table["after_similarity"])
    base = alt.Chart(pd.concat([before, after])).encode(y=alt.Y("label:N", title="query token"))
    rule = base.mark_rule(color="#cccccc").encode(x="min(similarity):Q", x2="max(similarity):Q")
    domain = list(COLOURS)
    points = base.mark_point(filled=True, size=60).encode(
        x=alt.X("similarity:Q", title="similarity of the winning patch", scale=alt.Scale(zero=False)),
        color=alt.Color("winner:N", scale=alt.Scale(domain=domain, range=list(COLOURS.values()))),
        shape=alt.Shape("winner:N", scale=alt.Scale(domain=domain)),
    )
    first = table.iloc[0]
    title = f"Query {first['query_id']}, document {first['doc_id']}, {first['count']} injected patches"
    kinds = alt.Column("inject:N", title=title, sort=list(table["inject"].unique()))
    return alt.layer(rule, points).properties(width=260).facet(column=kinds)


def save(chart: alt.TopLevelMixin, path: Path) -> None:
    """Write a chart as .svg, .png, or .html that opens without a network."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".html":
        chart.save(path, inline=True)
    else:
        chart.save(path, scale_factor=2 if path.suffix == ".png" else 1)
