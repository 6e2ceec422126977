"""The charts of the benchmark: every scorer's time as a multiple of the floor, and how a corpus grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from benchmarks import tables
from benchmarks.results import RESULTS, figures, read
from harness.reports.palette import COLOURS


def write(results: dict[str, Any], folder: Path) -> None:
    """All charts of what was measured."""
    scoring(results, folder)
    corpus(figures(results, "corpus"), folder)


def corpus(made: dict[str, Any], folder: Path) -> None:
    """corpus.svg: core seconds and peak memory of every step against documents, both scales logarithmic."""
    rows = [
        {"step": name, "documents": int(size), "core seconds": row["seconds"], "peak memory, MB": row["peak"]}
        for name, sizes in made.get("steps", {}).items()
        for size, row in sizes.items()
    ]
    if not rows:
        return
    table, sizes = pd.DataFrame(rows), made["sizes"]
    colour = alt.Color("step:N", sort=None, scale=alt.Scale(range=list(COLOURS)), legend=alt.Legend(title=None))
    panels = [
        alt.Chart(table, title=what, width=300, height=240)
        .mark_line(point=True)
        .encode(
            x=alt.X("documents:Q", scale=alt.Scale(type="log"), axis=alt.Axis(values=sizes, format="~s")),
            y=alt.Y(f"{what}:Q", title=None, scale=alt.Scale(type="log")),
            color=colour,
            shape=alt.Shape("step:N", sort=None, legend=alt.Legend(title=None)),
        )
        for what in ("core seconds", "peak memory, MB")
    ]
    alt.hconcat(*panels).save(folder / "corpus.svg")


def scoring(results: dict[str, Any], folder: Path) -> None:
    """scoring.svg: a panel for each work, points on a logarithmic scale, the shortest first."""
    rows = [
        {"work": work, "scorer": case, "times": row["over_floor"], "ours": case.startswith("harness")}
        for work, cases in figures(results, "scoring").items()
        for case, row in cases.items()
        if case not in ("floor", "products")
    ]
    rows += [
        {"work": work, "scorer": case, "times": value, "ours": False}
        for work, cases in figures(results, "peers").items()
        for case, value in cases.items()
    ]
    if not rows:
        return
    table = pd.DataFrame(rows)
    table["label"] = table["times"].map("{:.3g} ×".format)
    panels = []
    for work, part in table.groupby("work", sort=False):
        base = alt.Chart(part, title=str(work), width=420).encode(
            y=alt.Y("scorer:N", sort="x", title=None, axis=alt.Axis(labelLimit=260)),
            x=alt.X("times:Q", title="time, × floor", scale=alt.Scale(type="log", domain=[0.5, 200])),
        )
        colour = alt.condition("datum.ours", alt.value("#0b6e99"), alt.value("#b5b5b5"))
        panels.append(
            base.mark_point(filled=True, size=110, opacity=1).encode(color=colour)
            + base.mark_text(align="left", dx=9).encode(text="label")
        )
    alt.vconcat(*panels).save(folder / "scoring.svg")


if __name__ == "__main__":
    write(read(), RESULTS.parent)
    tables.write(read())
