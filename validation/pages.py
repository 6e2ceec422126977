"""A page of results: ``reports/validation/<name>.md`` and its tables as CSV beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parents[1] / "reports" / "validation"


def write(
    folder: Path, name: str, title: str, text: str, tables: Mapping[str, pd.DataFrame], command: str = ""
) -> Path:
    """Write a page: title, text, and each table both in the page and as ``<name>-<table>.csv``; returns the page.

    tables: by a name in lower case, in order; what is shown is rounded to four digits, the CSV is not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {title}", f"Made by `{command or f'python -m validation {name}'}`.", text.strip()]
    for about, table in tables.items():
        file = folder / f"{name}-{about}.csv"
        table.to_csv(file, index=False, lineterminator="\n")
        parts.append(f"## {about.replace('-', ' ').capitalize()}\n\n{markdown(table)}\n\n[{file.name}]({file.name})")
    page = folder / f"{name}.md"
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, numbers with four significant digits, NaN as a dash."""
    rows = [[_shown(value) for value in row] for row in table.itertuples(index=False, name=None)]
    lines = [list(map(str, table.columns)), ["---"] * table.shape[1], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "—" if value != value else f"{value:.4g}"
    return str(value).replace("|", "\\|")
