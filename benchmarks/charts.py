"""The chart of the benchmark: every scorer's time as a multiple of the floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd


def write(results: dict[str, Any], folder: Path) -> None:
    """scoring.svg: a panel for each work, points on a logarithmic scale, the shortest first."""
    rows = [
        {"work": work, "scorer": case, "times": row["over_floor"], "ours": case.startswith("harness")}
        for work, cases in results.get("scoring", {}).items()
        for case, row in cases.items()
        if case not in ("floor", "products")
    ]
    rows += [
        {"work": work, "scorer": case, "times": value, "ours": False}
        for work, cases in results.get("peers", {}).items()
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
            x=alt.X("times:Q", title="time, × floor", scale=alt.Scale(type="log", domain=[0.9, 200])),
        )
        colour = alt.condition("datum.ours", alt.value("#0b6e99"), alt.value("#b5b5b5"))
        panels.append(
            base.mark_point(filled=True, size=110, opacity=1).encode(color=colour)
            + base.mark_text(align="left", dx=9).encode(text="label")
        )
    alt.vconcat(*panels).save(folder / "scoring.svg")


if __name__ == "__main__":
    place = Path(__file__).parent
    write(json.loads((place / "results.json").read_text()), place)
