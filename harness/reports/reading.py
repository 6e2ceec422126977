"""A finished run as reports read it: its tables when they are wanted, and what it does not hold."""

from __future__ import annotations

import functools
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from harness import schemas
from harness.errors import OptionError
from harness.records import Manifest
from harness.runs import RunDirectory, readable
from harness.trec import ENCODED, fitted


@dataclass(frozen=True)
class FinishedRun:
    """One run directory. command: the line that repeats it; manifest: where its numbers come from.

    quotes: whether the corpus's texts, and the tokens of an alignment, are shown.
    """

    path: Path
    manifest: Manifest
    summary: pd.DataFrame
    tests: pd.DataFrame
    command: str = ""
    quotes: bool = True

    @property
    def kind(self) -> str:
        return self.manifest.command

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.path)

    def table(self, name: str) -> pd.DataFrame | None:
        """A table that a run may lack, such as ``texts.parquet``."""
        hidden = name == "alignment.parquet" and not self.quotes
        return self.directory.read_table(name, self.manifest) if (self.path / name).exists() and not hidden else None

    @functools.cached_property
    def gold(self) -> dict[str, list[str]]:
        """Relevant documents by query, as ``texts.parquet`` lists them; empty in a run without it."""
        texts, gold = self.table("texts.parquet"), defaultdict(list)
        if texts is not None:
            documents = texts[texts["kind"] == "document"]
            for query_id, doc_id in zip(documents["query_id"], documents["id"], strict=True):
                gold[query_id].append(doc_id)
        return dict(gold)

    def gold_ranks(self, path: Path) -> dict[tuple[str, str], int]:
        """(query, relevant document) → rank in a TREC run, of those it holds."""
        wanted = {(query, document) for query, documents in self.gold.items() for document in documents}
        names = ["query_id", "q0", "doc_id", "rank", "score", "tag"]
        types = {"query_id": pa.string(), "doc_id": pa.string(), "rank": pa.int32(), "tag": pa.string()}
        with readable(path):
            table = csv.read_csv(
                path,
                read_options=csv.ReadOptions(column_names=names),
                parse_options=csv.ParseOptions(delimiter=" ", quote_char=False),
                convert_options=csv.ConvertOptions(
                    column_types=types, include_columns=list(types), strings_can_be_null=False
                ),
            )
        encoded = len(table) > 0 and table["tag"][0].as_py() == ENCODED
        if encoded:
            wanted = {(fitted(query), fitted(document)) for query, document in wanted}
        relevant = {document for _, document in wanted}
        table = table.filter(pa.compute.is_in(table["doc_id"], pa.array(sorted(relevant), pa.string())))
        rows = zip(*(table[name].to_pylist() for name in types), strict=True)
        ranks = {(query, document): rank for query, document, rank, _ in rows if (query, document) in wanted}
        if encoded:
            return {(unquote(query), unquote(document)): rank for (query, document), rank in ranks.items()}
        return ranks


def open_run(path: Path) -> FinishedRun:
    """Read a run's manifest and summary. Raises OptionError if it is no finished run, DataError if it is damaged."""
    run = RunDirectory(path)
    if not run.finished:
        unfinished = (path / "config.yaml").exists()
        why = (
            "is an unfinished run; the same command finishes it" if unfinished else "is no run: it has no manifest.json"
        )
        raise OptionError(f"{path} {why}; harness list runs shows them")
    manifest = run.read_manifest()
    summary, tests = (run.read_table(name, manifest) for name in ("summary.csv", "tests.csv"))
    with readable(path / "tests.csv"):
        schemas.agree(manifest, summary, tests)
    return FinishedRun(path, manifest, summary, tests)
