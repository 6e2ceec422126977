"""Charts of a synthetic study, from its ``summary.csv``: the study's figure 1, and sparsity against robustness."""

from __future__ import annotations

import altair as alt
import pandas as pd

from harness.worlds.analysis import SLOPE, UNIT

COUNT = 100  # injected patches that robustness is read at, or the most there are below it


def labelled(summary: pd.DataFrame) -> pd.DataFrame:
    """With a column ``operator``: the pool, and, where a study has several, the training length M and the support K."""
    several = [name for name in UNIT if summary[name].nunique() > 1]
    short = {"train_length": "M", "support": "K"}
    names = summary["pool"].astype(str)
    for name in several:
        names = names + f", {short[name]} = " + summary[name].astype(str)
    return summary.assign(operator=names)


def lines(table: pd.DataFrame, x: alt.X, y: str, title: str, order: list[str]) -> alt.LayerChart:
    """A line an operator with its interval as a band; dashed for the training set."""
    colour = alt.Color("operator:N", sort=order, title="pool")
    tips = ["operator", "split", x.shorthand.split(":")[0], alt.Tooltip("value", format=".3f"),
            alt.Tooltip("ci_low", format=".3f"), alt.Tooltip("ci_high", format=".3f"), "n_seeds"]  # fmt: skip
    dash = alt.StrokeDash("split:N", title="split", sort=["heldout", "train"])
    base = alt.Chart(table, title=title).encode(x=x, color=colour, detail="split:N")
    value = alt.Y("value:Q", title=y, scale=alt.Scale(zero=True))
    return (
        base.mark_area(opacity=0.2).encode(y=alt.Y("ci_low:Q", title=y), y2="ci_high:Q")
        + base.mark_line(point=alt.OverlayMarkDef(size=25)).encode(y=value, strokeDash=dash, tooltip=tips)
    ).properties(width=300, height=240)


def figure_one(summary: pd.DataFrame) -> alt.HConcatChart:
    """A: Gini by epoch; B: Recall@1 by epoch, held-out and training; C: held-out Recall@1 by document length."""
    table = labelled(summary)
    order = list(dict.fromkeys(table["operator"]))
    epochs = table[table["epoch"].notna()].astype({"epoch": int})
    lengths = table[~table["length"].isin(["", SLOPE]) & table["length"].notna() & (table["split"] == "heldout")]
    lengths = lengths.astype({"length": int})
    epoch = alt.X("epoch:Q", title="epoch")
    length = alt.X("length:Q", title="patches of a document, M", scale=alt.Scale(type="log", base=2),
                   axis=alt.Axis(values=sorted(set(lengths["length"]))))  # fmt: skip
    return alt.hconcat(
        lines(epochs[epochs["measure"] == "gini"], epoch, "Gini of patch gradients", "A  Concentration", order),
        lines(epochs[epochs["measure"] == "recall"], epoch, "Recall@1", "B  Training", order),
        lines(lengths, length, "Recall@1, held-out", "C  Document length", order),
    )


def robustness(summary: pd.DataFrame) -> pd.DataFrame:
    """A row an operator: its Gini after training, the share of Recall@1 it keeps under hard injection, intervals."""
    table = labelled(summary)
    gini = table[(table["measure"] == "gini") & (table["epoch"] == table["epoch"].max())]
    kept = table[(table["measure"] == "retained") & (table["inject"] == "hard")]
    kept = kept[kept["count"] == max((count for count in kept["count"] if count <= COUNT), default=-1)]
    columns = ["operator", "value", "ci_low", "ci_high"]
    return gini[columns].merge(kept[[*columns, "count"]], on="operator", suffixes=("_gini", "_kept"))


def tradeoff(summary: pd.DataFrame) -> alt.LayerChart:
    """Gini against retained Recall@1, one mark an operator with the intervals of both."""
    table = robustness(summary)
    count = int(table["count"].iloc[0]) if len(table) else 0
    x = alt.X("value_gini:Q", title="Gini of patch gradients after training", scale=alt.Scale(zero=False))
    y = alt.Y("value_kept:Q", title=f"Recall@1 retained, {count} hard patches", scale=alt.Scale(zero=False))
    base = alt.Chart(table, title="Sparsity and robustness").encode(color=alt.Color("operator:N", title="pool"))
    tips = ["operator", alt.Tooltip("value_gini", format=".3f"), alt.Tooltip("value_kept", format=".3f")]
    return (
        base.mark_rule(opacity=0.5).encode(x=alt.X("ci_low_gini:Q", title=None), x2="ci_high_gini:Q", y=y)
        + base.mark_rule(opacity=0.5).encode(x=x, y=alt.Y("ci_low_kept:Q", title=None), y2="ci_high_kept:Q")
        + base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, tooltip=tips)
        + base.mark_text(align="left", dx=8, dy=-8).encode(x=x, y=y, text="operator:N")
    ).properties(width=420, height=320)
