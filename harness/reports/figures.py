"""Charts of a synthetic study, from its ``summary.csv``: the study's figure 1, and sparsity against robustness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from harness.reports.palette import palette_of
from harness.reports.study import labelled

COUNT = 100  # injected patches that robustness is read at, or the most there are below it


def lines(table: pd.DataFrame, x: alt.X, y: str, title: str, palette: Mapping[str, str]) -> Any:
    """A line an operator with its interval as a band."""
    colour = coloured(palette, alt.Legend(orient="top", symbolOpacity=1))
    tips = [
        "operator",
        "split",
        x.shorthand.split(":")[0],
        alt.Tooltip("value", format=".3f"),
        alt.Tooltip("ci_low", format=".3f"),
        alt.Tooltip("ci_high", format=".3f"),
        "n_seeds",
    ]
    base = alt.Chart(table, title=title).encode(x=x, color=colour, detail="split:N")
    value = alt.Y("value:Q", title=y, scale=alt.Scale(zero=True))
    return (
        base.mark_area(opacity=0.2).encode(y=alt.Y("ci_low:Q", title=y), y2="ci_high:Q")
        + base.mark_line(point=alt.OverlayMarkDef(size=25)).encode(y=value, tooltip=tips, **dashes(table))
    ).properties(width=300, height=240)


def dashes(table: pd.DataFrame) -> dict[str, alt.StrokeDash]:
    """Where a panel shows both splits, the training set's lines are dashed."""
    if table["split"].nunique() < 2:
        return {}
    scale = alt.Scale(domain=["heldout", "train"], range=[[1, 0], [4, 3]])
    return {"strokeDash": alt.StrokeDash("split:N", title="split", scale=scale, legend=None)}


def coloured(palette: Mapping[str, str], legend: alt.Legend | None) -> alt.Color:
    scale = alt.Scale(domain=list(palette), range=list(palette.values()))
    return alt.Color("operator:N", title="pool", scale=scale, legend=legend)


def figure_one(summary: pd.DataFrame, palette: Mapping[str, str] | None = None) -> alt.HConcatChart:
    """A: Gini by epoch; B: Recall@1 by epoch, held-out and training; C: held-out Recall@1 by document length."""
    table = labelled(summary)
    order = chosen(palette, table)
    epochs = table[table["epoch"].notna()].astype({"epoch": int})
    lengths = table[table["length"].notna() & (table["split"] == "heldout")]
    lengths = lengths.astype({"length": int})
    epoch = alt.X("epoch:Q", title="epoch")
    length = alt.X(
        "length:Q",
        title="patches of a document, M",
        scale=alt.Scale(type="log", base=2),
        axis=alt.Axis(values=sorted(set(lengths["length"]))),
    )
    return alt.hconcat(
        lines(epochs[epochs["measure"] == "gini"], epoch, "Gini of patch gradients", "A  Concentration", order),
        lines(
            epochs[epochs["measure"] == "recall"],
            epoch,
            "Recall@1",
            "B  Training (dashed: the training queries)",
            order,
        ),
        lines(lengths, length, "Recall@1, held-out", "C  Document length", order),
    )


def robustness(summary: pd.DataFrame) -> pd.DataFrame:
    """A row an operator: its Gini after training, the share of Recall@1 it keeps under hard injection, intervals."""
    table = labelled(summary)
    gini = table[(table["measure"] == "gini") & (table["epoch"] == table["epoch"].max())]
    retained = table[(table["measure"] == "retained") & (table["inject"] == "hard")]
    retained = retained[retained["count"] == max((count for count in retained["count"] if count <= COUNT), default=-1)]
    columns = ["operator", "value", "ci_low", "ci_high"]
    both: pd.DataFrame = gini[columns].merge(retained[[*columns, "count"]], on="operator", suffixes=("_gini", "_kept"))
    return both


def chosen(palette: Mapping[str, str] | None, table: pd.DataFrame) -> dict[str, str]:
    """The colours of a table's own operators."""
    operators = list(dict.fromkeys(table["operator"]))
    return {name: (palette or palette_of(operators))[name] for name in operators}


def tradeoff(summary: pd.DataFrame, palette: Mapping[str, str] | None = None) -> Any:
    """Gini against retained Recall@1, one mark an operator with the intervals of both.

    The share's axis is linear near zero and logarithmic beyond: an operator may gain from patches in other documents.
    """
    table = robustness(summary)
    table["from_kept"] = table["ci_low_kept"].clip(lower=0)  # an interval may reach below what a share can be
    count = int(table["count"].iloc[0]) if len(table) else 0
    ticks = [0, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100]
    x = alt.X("value_gini:Q", title="Gini of patch gradients after training", scale=alt.Scale(domain=[0, 1]))
    scale = alt.Scale(type="symlog", constant=0.1, domainMin=0)
    title = f"Recall@1 retained under {count} hard patches"
    y = alt.Y("value_kept:Q", title=title, axis=alt.Axis(values=ticks, format="%"), scale=scale)
    colour = coloured(chosen(palette, table), None)
    base = alt.Chart(table).encode(color=colour)
    tips = [
        "operator",
        *(
            alt.Tooltip(f"{part}_{name}", format=".3f")
            for name in ("gini", "kept")
            for part in ("value", "ci_low", "ci_high")
        ),
    ]
    whole = alt.Chart(pd.DataFrame({"all": [1.0]})).mark_rule(strokeDash=[4, 4], color="#888888").encode(y="all:Q")
    return (
        whole
        + base.mark_rule(opacity=0.5).encode(x=x, x2="ci_high_gini:Q", y=y).encode(x="ci_low_gini:Q")
        + base.mark_rule(opacity=0.5).encode(x=x, y=y, y2="ci_high_kept:Q").encode(y="from_kept:Q")
        + base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, tooltip=tips)
        + base.mark_text(align="left", dx=8, dy=-8).encode(x=x, y=y, text="operator:N")
    ).properties(width=480, height=360, title="Sparsity and robustness")
