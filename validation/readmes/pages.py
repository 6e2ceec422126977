"""Templates, what they may look up, and the pages they become."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.results import origin, read
from validation.readmes import shown, terminal
from validation.readmes.cells import Cells
from validation.readmes.wrapping import wrapped

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = {
    "README.md": "README.md.j2",
    "benchmarks/README.md": "benchmarks.md.j2",
    "reports/retrained/README.md": "retrained.md.j2",
}


class StaleError(Exception):
    """Sentences of the templates that the committed figures no longer support."""


def write(root: Path) -> list[Path]:
    """Write every page whose text changed; returns their paths. Raises StaleError before any is written."""
    changed = []
    for name, text in render(root).items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def render(root: Path, strict: bool = True) -> dict[str, str]:
    """The text of every page from the files under ``root``; strict: raise StaleError where a sentence is not true."""
    made, stale = {}, []
    templates, found = environment(), known(root)
    for page, template in PAGES.items():

        def needs(true: bool, sentence: str, page: str = page) -> str:
            """Written beside a sentence that says more than its figures."""
            stale.extend([] if true else [f"{page} says {sentence!r}; the committed figures do not"])
            return ""

        made[page] = wrapped(templates.get_template(template).render(**found, needs=needs))
    if strict and stale:
        raise StaleError("\n".join([*stale, f"rewrite these sentences in {HERE.relative_to(ROOT)}/templates"]))
    return made


def environment() -> Environment:
    """Templates with the filters of shown.py; an unknown name is an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        extensions=["jinja2.ext.do"],
    )
    made.filters |= shown.FILTERS
    made.globals |= {"LEVEL": shown.LEVEL, "isnan": math.isnan}
    return made


def known(root: Path) -> dict[str, Any]:
    """What a template may look up: the committed tables by name, and the tables that the program itself prints."""
    reports = root / "reports"
    scifact, retrained, checked = reports / "scifact", reports / "retrained", reports / "validation"
    measured = read(root / "benchmarks" / "results.json")
    counts = json.loads((root / "benchmarks" / "scifact_counts.json").read_text())
    found: dict[str, Any] = {
        "grid": Cells.read(reports / "grid", "synth-*-summary.csv"),
        "published": Cells.read(checked, "published-figures.csv"),
        "power": Cells.read(checked, "statistics-power.csv"),
        "fuzzed": Cells.read(checked, "fuzzing-targets.csv"),
        "gini": Cells.maybe(retrained, "gini.csv"),
        "speed": {part: record["figures"] for part, record in measured.items()},
        "measured": {part: origin(record) for part, record in measured.items()},
        "machine": {part: record["machine"] for part, record in measured.items()},
        "plan": (reports / "plan.txt").read_text(encoding="utf-8").rstrip("\n"),
    }
    for table in ("summary", "tests"):
        for command in ("eval", "stress", "gradients", "synth"):
            found[f"{command}_{table}"] = Cells.read(scifact, f"{command}-*-{table}.csv")
        for study in ("lengths", "attack"):
            found[f"{study}_{table}"] = Cells.read(retrained, f"{study}-{table}.csv")
            found[f"expanded_{study}_{table}"] = Cells.maybe(retrained, f"expanded-{study}-{table}.csv")
    return found | {
        "length_tables": terminal.length_tables(scifact, "nDCG@10", max(counts["documents"])),
        "attack_tables": terminal.attack_tables(scifact, "R@10", "hard"),
    }
