"""The tables of README.md, each with the processor it was measured on, from results.json."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, figures, origin, read

README = Path(__file__).with_name("README.md")


def scoring(results: dict[str, Any]) -> list[str]:
    """Every scorer's time on every work; the scorers of ``make bench-peers`` last."""
    works, peers = figures(results, "scoring"), figures(results, "peers")
    cases = dict.fromkeys(case for rows in works.values() for case in rows)
    rows = [[case, *(_times(one.get(case)) for one in works.values())] for case in cases]
    rates = " and ".join(f"{one['floor']['gflops']:.0f}" for one in works.values())
    rows[0][0] += f" ({rates} GFLOP/s)"
    for case in dict.fromkeys(case for held in peers.values() for case in held):
        rows.append([case, *(f"{peers[name][case]:.2f} × floor" for name in works)])
    said = [f"On: {origin(results['scoring'])}."]
    said += [f"PyLate and sentence-transformers: {origin(results['peers'])}."] if peers else []
    return [*said, "", *table(["", *works], rows), "", *_against(works)]


def _against(works: dict[str, Any]) -> list[str]:
    """What twelve cells take of the bare products, and of the peer that is fastest at one."""
    whole, bare = "harness, 12 cells", "products"
    shares = [f"{rows[whole]['seconds'] / rows[bare]['seconds']:.2f} × ({name})" for name, rows in works.items()]
    lines = [f"All twelve cells take {', '.join(shares)} the time of the bare float32 products."]
    for name, rows in works.items():
        if others := {case: row["seconds"] for case, row in rows.items() if case.endswith(("1 cell", "listed"))
                      and not case.startswith("harness")}:  # fmt: skip
            best = min(others, key=lambda case: others[case])
            lines.append(f"They take {rows[whole]['seconds'] / others[best]:.2f} × the time that the fastest peer here"
                         f" takes for one cell ({best}; {name}).")  # fmt: skip
    return lines


def _times(row: dict[str, float] | None) -> str:
    return f"{row['over_floor']:.2f} × floor, {row['seconds']:.2f} s" if row else ""


def growth(results: dict[str, Any]) -> list[str]:
    rows = [[name, f"{share:+.1%}"] for name, share in figures(results, "growth").items()]
    return [f"On: {origin(results['growth'])} of three pairs each.", "", *table(["one more", "time"], rows)]


def encoding(results: dict[str, Any]) -> list[str]:
    rows = [[name, f"{row['tokens_per_second']:,.0f}", f"{row['times_sentence_transformers']:.2f} ×",
             f"{row['share_of_peak']:.0%}"] for name, row in figures(results, "encoding").items()]  # fmt: skip
    head = ["", "tokens a second", "against sentence-transformers", "share of the float32 peak"]
    return [f"On: {origin(results['encoding'])}.", "", *table(head, rows)]


def startup(results: dict[str, Any]) -> list[str]:
    rows = [[f"`{name}`", f"{seconds:.2f}"] for name, seconds in figures(results, "startup").items()]
    return [f"On: {origin(results['startup'])}.", "", *table(["command", "seconds"], rows)]


def corpus(results: dict[str, Any]) -> list[str]:
    found = figures(results, "corpus")
    rows = []
    for step, sizes in found["steps"].items():
        cells = [f"{sizes[str(size)]['seconds']:.0f} s, {sizes[str(size)]['peak']:.0f} MB" for size in found["sizes"]]
        slope = found["exponents"][step]
        rows.append([step, *cells, f"{slope['seconds']:.2f}", f"{slope['bytes_per_document']:,.0f}"])
    head = ["step", *(f"{size:,}" for size in found["sizes"]), "exponent", "bytes a document"]
    return [f"On: {origin(results['corpus'])}.", "", *table(head, rows)]


def planned(results: dict[str, Any]) -> list[str]:
    rows = []
    for name, stages in figures(results, "planned").items():
        whole = stages["all"]
        long = {stage: row for stage, row in stages.items() if row["actual"] > 1 and stage != "all"}
        worst = max(long, key=lambda stage: _off(long[stage]))
        rows.append([name, f"{whole['predicted']:.0f} s", f"{whole['actual']:.0f} s", f"{_off(whole):.2f} ×",
                     f"{worst}, {_off(long[worst]):.2f} ×"])  # fmt: skip
    return [
        f"On: {origin(results['planned'])}.",
        "",
        *table(["run", "predicted", "took", "whole", "worst stage"], rows),
    ]


def _off(row: dict[str, float]) -> float:
    """How many times too much or too little was predicted."""
    return max(row["predicted"] / row["actual"], row["actual"] / max(row["predicted"], 1e-9))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


TABLES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "scoring": scoring,
    "growth": growth,
    "encoding": encoding,
    "startup": startup,
    "corpus": corpus,
    "planned": planned,
}


def rendered(text: str, results: dict[str, Any]) -> str:
    """A page with every table between its two marks written anew; of parts that were not measured as it is."""
    for part in TABLES.keys() & results.keys():
        begin, end = f"<!-- {part}: from results.json -->\n", "<!-- end -->"
        made = begin + "\n".join(TABLES[part](results)) + "\n" + end
        text, found = re.subn(re.escape(begin) + ".*?" + end, lambda _, made=made: made, text, flags=re.DOTALL)  # type: ignore[misc]
        assert found == 1, f"{part} has {found} places in {README.name}"
    return text


def write(results: dict[str, Any], path: Path = README) -> None:
    path.write_text(rendered(path.read_text(), results))


if __name__ == "__main__":
    write(read(RESULTS))
