"""Templates, what they may look up, and the pages they become."""

from __future__ import annotations

import functools
import json
import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.results import origin, read
from validation.readmes import shown, terminal
from validation.readmes.cells import Cells, only
from validation.readmes.wrapping import wrapped

ROOT = Path(__file__).parents[2]
TEMPLATES = Path(__file__).parent / "templates"
PAGES = sorted(path.relative_to(TEMPLATES).with_suffix("").as_posix() for path in TEMPLATES.rglob("*.md.j2"))
"""Every page by its path, which is that of its template without the last suffix."""


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
    rendered, stale = {}, []
    templates, tables = environment(), known(root)
    for page in PAGES:
        template = TEMPLATES / f"{page}.j2"

        def needs(true: bool, sentence: str, page: str = page) -> str:
            """Written beside a sentence that says more than its figures."""
            stale.extend([] if true else [f"{page} says {sentence!r}; the committed figures do not"])
            return ""

        asked = {"needs": needs, "picture": functools.partial(picture, root, page)}
        text = wrapped(templates.get_template(f"{page}.j2").render(**tables, **asked))
        source = template.relative_to(ROOT).as_posix()
        rendered[page] = f"<!-- Rendered by `make readme` from {source}: edit that file. -->\n{text.lstrip()}"
    if strict and stale:
        raise StaleError("\n".join([*stale, f"rewrite these sentences in {TEMPLATES.relative_to(ROOT)}"]))
    return rendered


def picture(root: Path, page: str, pattern: str) -> str:
    """The path, from the page's folder, of the one picture of a report that fits a pattern."""
    path = only(root / "reports", pattern)
    return Path(os.path.relpath(path, (root / page).parent)).as_posix()


def environment() -> Environment:
    """Templates with the filters of shown.py; an unknown name is an error."""
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        extensions=["jinja2.ext.do"],
    )
    templates.filters |= shown.FILTERS
    templates.globals |= {"LEVEL": shown.LEVEL, "isnan": math.isnan}
    return templates


def known(root: Path) -> dict[str, Any]:
    """What a template may look up: the committed tables by name, and the tables that the program itself prints."""
    reports = root / "reports"
    scifact, retrained, checked = reports / "scifact", reports / "retrained", reports / "validation"
    measured = read(root / "benchmarks" / "results.json")
    counts = json.loads((root / "benchmarks" / "scifact_counts.json").read_text())
    tables: dict[str, Any] = {
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
            tables[f"{command}_{table}"] = Cells.read(scifact, f"{command}-*-{table}.csv")
        for study in ("lengths", "attack"):
            tables[f"{study}_{table}"] = Cells.read(retrained, f"{study}-{table}.csv")
            tables[f"expanded_{study}_{table}"] = Cells.maybe(retrained, f"expanded-{study}-{table}.csv")
    return tables | {
        "length_tables": terminal.length_tables(scifact, "nDCG@10", max(counts["documents"])),
        "attack_tables": terminal.attack_tables(scifact, "R@10", "hard"),
    }
