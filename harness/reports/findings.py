"""What the numbers say, in sentences: nothing is claimed that a test does not carry. Tables in, sentences out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from harness.reports.content import decimals, interval, share

LEVEL = 0.05  # of the Holm-corrected p


def listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last


def p_text(p: float) -> str:
    """``= 0.013``, or ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def at_least(p: pd.Series) -> str:
    """The smallest of corrected p-values that are not below the level, cut to two decimals."""
    least = p.min()
    return "p = 1" if least >= 1 else f"p ≥ {int(least * 100) / 100:.2f}"


def ceiling(candidates: dict) -> list[str]:
    """What the candidates allow."""
    if not candidates:
        return []
    recall, source, depth = candidates["recall"], candidates["source"], candidates["depth"]
    if source == "exact":
        return [f"Candidates: all {depth:,} documents are scored for every query, so no first stage limits the result."]
    found = f"Candidates: the {depth:,} of {source} hold"
    if recall >= 1:
        return [f"{found} every relevant document, so the first stage costs nothing."]
    return [
        f"{found} {recall:.1%} of the relevant documents: reranking cannot exceed a recall of {recall:.3f};"
        f" {1 - recall:.1%} is lost before any pool is asked."
    ]


def degradation(rows: pd.DataFrame, tests: pd.DataFrame, slopes: dict[str, float], pools: Sequence[str]) -> list[str]:
    """One arm and measure of ``eval``: who holds at the longest length, who falls fastest, what is significant.

    rows: the summary's rows of the arm and measure; tests: the same of tests.csv; slopes: change a doubling by pool.
    """
    longest, shortest = rows["length"].max(), rows["length"].min()
    last = rows[rows["length"] == longest].set_index("pool")
    said = f"Arm {rows['arm'].iloc[0]}, {rows['measure'].iloc[0]} at L = {longest}: {highest(last)}"
    if longest == shortest:
        return [f"{said}."]
    kept = last["retained"].dropna()
    sentences = [f"{said}{'; ' + retained(kept, shortest) if len(kept) else ''}."]
    sentences += [steepest(slopes)] if slopes else []
    return [*sentences, *verdicts(tests, pools[0], str(longest))] if len(pools) > 1 else sentences


def highest(last: pd.DataFrame) -> str:
    """The pool with the highest mean, or all that share it as printed."""
    printed = last["value"].map(lambda value: round(value, 4))
    names = list(printed.index[printed == printed.max()])
    row = last.loc[names[0]]
    if len(names) > 1:
        return f"{listed(names)} are level at {decimals(row['value'])}"
    word = "is highest," if len(last) > 1 else "reaches"
    return f"{names[0]} {word} {decimals(row['value'])} ({interval(row['ci_low'], row['ci_high'])})"


def retained(kept: pd.Series, shortest: int) -> str:
    """Who retains most and least of the value at the shortest length."""
    of = f"of its value at L = {shortest}"
    if len(kept) == 1:
        return f"{share(kept.iloc[0])} {of} is left"
    if share(kept.max()) == share(kept.min()):
        return f"every pool retains {share(kept.max())} {of}"
    most, least = (list(kept.index[kept.map(share) == share(end)]) for end in (kept.max(), kept.min()))
    verb = "retains" if len(most) == 1 else "retain"
    return f"{listed(most)} {verb} most {of}, {share(kept.max())}, {listed(least)} least, {share(kept.min())}"


def steepest(slopes: dict[str, float]) -> str:
    """Who falls fastest for each doubling of the length, if any falls."""
    name = min(slopes, key=lambda pool: slopes[pool])
    change = f"{decimals(slopes[name], '+')} for each doubling of L"
    if len(slopes) == 1:
        return f"It changes by {change}."
    return f"{name} falls fastest, {change}." if slopes[name] < 0 else f"No pool falls; {name} gains least, {change}."


def verdicts(tests: pd.DataFrame, baseline: str, longest: str) -> list[str]:
    """What the tests on the slope and at the longest length say; in one sentence where they say nothing differs."""
    tested = {place: tests[(tests["length"].astype(str) == place) & tests["p_holm"].notna()]
              for place in ("slope", longest)}  # fmt: skip
    if not any(map(len, tested.values())):
        return [f"No difference from {baseline} could be tested."]
    both = pd.concat(tested.values())
    if not (both["p_holm"] < LEVEL).any():
        where = "neither its slope nor its value there" if all(map(len, tested.values())) else "nothing"
        return [f"No pool is told apart from {baseline}: {where} differs (Holm-corrected {at_least(both['p_holm'])})."]
    said = [slope_verdict(tested["slope"], baseline)] if len(tested["slope"]) else []
    return said + [differing(tested[longest], baseline, f"at L = {longest}")] * bool(len(tested[longest]))


def slope_verdict(tested: pd.DataFrame, baseline: str) -> str:
    """Which pools degrade faster or slower than the baseline, by the test on the slope."""
    found = tested[tested["p_holm"] < LEVEL]
    if not len(found):
        return f"No pool's slope differs from {baseline}'s (Holm-corrected {at_least(tested['p_holm'])})."
    parts = [f"{row.pool} degrades {'faster' if float(str(row.mean_difference)) < 0 else 'slower'} than {baseline}"
             f" ({row.mean_difference:+.4f} for each doubling, Holm-corrected p {p_text(float(str(row.p_holm)))})"
             for row in found.itertuples()]  # fmt: skip
    others = [name for name in dict.fromkeys(tested["pool"]) if name not in set(found["pool"])]
    verb = "is" if len(others) == 1 else "are"
    return f"{listed(parts)}{f'; {listed(others)} {verb} not told apart from it' if others else ''}."


def differing(tested: pd.DataFrame, baseline: str, place: str, more: str = "higher", less: str = "lower") -> str:
    """Which pools differ from the baseline at one length or count."""
    found = tested[tested["p_holm"] < LEVEL]
    if not len(found):
        start = f"{place[0].upper()}{place[1:]}"
        return f"{start} no pool differs from {baseline} (Holm-corrected {at_least(tested['p_holm'])})."
    parts = []
    for word, rows in ((more, found[found["mean_difference"] > 0]), (less, found[found["mean_difference"] < 0])):
        if len(rows):
            names = (f"{row.pool} ({row.mean_difference:+.4f}, p {p_text(float(str(row.p_holm)))})"
                     for row in rows.itertuples())  # fmt: skip
            parts.append(f"{word} than {baseline}: {listed(names)}")
    return f"Significantly {'; significantly '.join(parts)}, Holm-corrected, {place}."


def attack(rows: pd.DataFrame, tests: pd.DataFrame, pools: Sequence[str]) -> list[str]:
    """One kind of injection and measure of ``stress``, at the largest count."""
    kind, measure, count = rows["inject"].iloc[0], rows["measure"].iloc[0], int(rows["count"].max())
    if count == 0:
        return ["Nothing was injected: every count is 0."]
    last = rows[rows["count"] == count].set_index("pool")
    place = f"Injection {kind}, {measure} with K = {count}"
    kept = last["retained"].dropna()
    if not len(kept):
        return [f"{place}: 0 with and without injection."]
    named = {name: f"{share(row['retained'])} ({interval(row['retained_low'], row['retained_high'], True)})"
             for name, row in last.loc[kept.index].iterrows()}  # fmt: skip
    said = f"{place}: {kept.idxmax()} keeps {named[kept.idxmax()]} of its value without injection"
    if len(kept) > 1:
        said += f", the most; {kept.idxmin()} keeps {named[kept.idxmin()]}, the least"
    sentences = [f"{said}."]
    if len(gain := kept[last.loc[kept.index, "retained_low"] > 1]):
        verb = "gains" if len(gain) == 1 else "gain"
        sentences.append(f"{listed(gain.index)} {verb}: only documents that are not relevant are injected into.")
    tested = tests[(tests["count"].astype(str) == str(count)) & tests["p_holm"].notna()]
    if len(pools) > 1 and len(tested):
        sentences.append(differing(tested, pools[0], f"at K = {count}", "smaller losses", "larger losses"))
    return sentences


def hijack(rows: pd.DataFrame) -> list[str]:
    """One kind of injection: whose selection is taken most and least at the largest count."""
    count, kind = int(rows["count"].max()), rows["inject"].iloc[0]
    held = rows[rows["count"] == count].drop_duplicates("pool").set_index("pool")["hijack_rate"].dropna()
    if not len(held):
        return ["No pool of this run can tell which part of its selection is injected."]
    said = f"With K = {count} {kind} patches hold {share(held.max(), 1)} of the selection of {held.idxmax()}"
    return [f"{said}, and {share(held.min(), 1)} of that of {held.idxmin()}." if len(held) > 1 else f"{said}."]


def concentration(rows: pd.DataFrame, tests: pd.DataFrame) -> list[str]:
    """One length of ``gradients``: where the gradient is concentrated most and least, and what is significant."""
    length, last = rows["length"].iloc[0], rows.set_index("pool")
    named = {name: f"{decimals(row['gini'])} ({interval(row['gini_low'], row['gini_high'])})"
             for name, row in last.iterrows()}  # fmt: skip
    most, least = last["gini"].idxmax(), last["gini"].idxmin()
    said = f"At L = {length} {most} concentrates its gradient most, Gini {named[most]}"
    if len(last) > 1:
        said += f"; {least} least, {named[least]}"
    tested = tests[(tests["length"].astype(str) == str(length)) & tests["p_holm"].notna()]
    if not len(tested):
        return [f"{said}."]
    told = tested["p_holm"] < LEVEL
    if told.all():
        return [f"{said}.", f"Every two pools differ (Holm-corrected p {p_text(tested['p_holm'].max())} or less)."]
    if not told.any():
        return [f"{said}.", f"No two pools differ (Holm-corrected {at_least(tested['p_holm'])})."]
    same = (f"{one.pool} and {one.baseline}" for one in tested[~told].itertuples())
    return [f"{said}.", f"All pools differ but {listed(same)}."]


def compared(tests: pd.DataFrame, baseline: str) -> list[str]:
    """All of a comparison: how many cells differ from the baseline, and the largest difference, a sentence a run."""
    cells = tests[tests["length"].astype(str) != "slope"] if "length" in tests else tests
    said = []
    for run, mine in cells[cells["p_holm"].notna()].groupby("run", sort=False):
        found = mine[mine["p_holm"] < LEVEL]
        if not len(found):
            said.append(f"{run} does not differ from {baseline} in any of {len(mine)} cells"
                        f" (Holm-corrected {at_least(mine['p_holm'])}).")  # fmt: skip
            continue
        ahead, behind = int((found["mean_difference"] > 0).sum()), int((found["mean_difference"] < 0).sum())
        row = found.iloc[int(found["mean_difference"].abs().to_numpy().argmax())]
        where = ", ".join(str(row[name]) for name in ("measure", "arm", "inject", "pool") if name in row.index)
        at = f"L = {row['length']}" if "length" in row.index else f"K = {row['count']}"
        said.append(f"{run} is significantly ahead of {baseline} in {ahead} of {len(mine)} cells, behind in {behind};"
                    f" largest difference {row['mean_difference']:+.4f} ({where}, {at}).")  # fmt: skip
    return said or [f"No difference from {baseline} could be tested."]
