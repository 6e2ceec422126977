"""Parquet tables of a dataset's folder, as the hub keeps them: ``corpus/test-00000-of-00001.parquet`` and the like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import Problems, first_line

BATCH = 16  # rows in memory at once: page images are large
Columns = Mapping[str, Sequence[str]]  # our name → spellings, the first found wins; "-" stands for "_" too


def parts(folder: Path, table: str) -> dict[str, list[Path]]:
    """split → the files of a table: in folders and files that begin with its name, there or under ``data/``."""
    found: dict[str, list[Path]] = {}
    for pattern in (f"{table}*/**/*.parquet", f"{table}*.parquet"):
        for path in sorted([*folder.glob(pattern), *folder.glob(f"data/{pattern}")]):
            found.setdefault(_split(path, table), []).append(path)
    return found


def _split(path: Path, table: str) -> str:
    """``test`` of ``corpus/test-00000-of-00001.parquet``, ``corpus/test/0000.parquet`` or ``corpus/0000.parquet``."""
    stem = re.sub(r"-\d+-of-\d+$", "", path.stem)
    name = stem if re.search("[A-Za-z]", stem) else path.parent.name
    return "test" if name.startswith((table, "data")) else name


def of_split(folder: Path, table: str, split: str) -> list[Path]:
    """The files of a split, or of all splits where the table has no such split: one corpus serves several."""
    found = parts(folder, table)
    return found.get(split) or [path for paths in found.values() for path in paths]


def rows(paths: Sequence[Path], wanted: Columns, problems: Problems, optional: Columns | None = None) -> Iterator:
    """(file, row) of every row of these files: values by our names, None for an optional column that is not there.

    What cannot be read, and files without a wanted column, are added to the problems.
    """
    import pyarrow
    import pyarrow.parquet

    for path in paths:
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                names = {name.replace("_", "-").strip("-").lower(): name for name in file.schema_arrow.names}
                columns = _choose(path, names, wanted, optional or {}, problems)
                if not columns:
                    continue
                for batch in file.iter_batches(BATCH, columns=list(columns.values())):
                    for row in batch.to_pylist():
                        yield path, {key: row[name] for key, name in columns.items()}
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            problems.add(f"{path} cannot be read ({first_line(error)}); download it again")


def _choose(
    path: Path, names: Mapping[str, str], wanted: Columns, optional: Columns, problems: Problems
) -> dict[str, str]:
    """our name → the file's column; empty, with a problem added, if a wanted one is not there."""
    found = {}
    for key, spellings in {**wanted, **optional}.items():
        if name := next((names[one] for one in spellings if one in names), None):
            found[key] = name
    if lacking := [f"{key} ({' or '.join(wanted[key])})" for key in wanted if key not in found]:
        has = ", ".join(names.values()) or "none"
        problems.add(f"{path} has no column of {' and '.join(lacking)}; it has {has}; rename what is meant")
        return {}
    return found


def name(value: Any) -> str | None:
    """An id as text: the hub's are whole numbers or text; None for anything else."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
