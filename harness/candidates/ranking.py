"""A first stage of the user's own, from a file: ``--candidates ranking:FILE``, plain or gzipped. Its content says what
it is, not its name:

- a TREC run, ids percent-encoded where this program wrote it so;
- JSON as BEIR and ranx write it, ``{query: {document: score}}``;
- JSON as PyLate's ``retrieve`` gives it, ``[[{"id": document, "score": score}, …], …]``, a list for each query of the
  dataset in its order, or under the queries' ids, ``{query: [{"id": …, "score": …}, …]}``;
- a table with tabs, commas or semicolons whose header names query, document and score or, without scores, rank.

Documents are ordered as trec_eval orders them: by score as a float32, then by id, whatever the order of lines or ranks.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

import numpy as np

from harness.candidates.base import Ranked, Search, Traits, filled, source
from harness.corpora.columns import DOCUMENT_IDS, QUERY_IDS, Table
from harness.corpora.notes import Notes, counted
from harness.corpora.policy import difference
from harness.errors import DataError, OptionError, examples, first_line
from harness.files import remembered
from harness.records import ScoredDoc, ties
from harness.trec import ENCODED

GZIP, BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
HEAD = 1 << 16  # bytes that say what a file is
LONGEST = 1 << 30  # letters of a cell: a table may hold texts beside the ids
FORMATS = "a TREC run, JSON such as {query: {document: score}}, or a table with the header query-id, corpus-id, score"
TABLE = Table(
    "ranking",
    {
        "query": (*QUERY_IDS, "query", "topic"),
        "document": ("docno", *DOCUMENT_IDS, "doc", "document", "id"),  # PyTerrier's docid is a row of its index
        "score": ("score", "sim", "similarity", "relevance"),
        "rank": ("rank", "position"),
    },
    ("query", "document", "score"),
    {},
)


def check(file: str) -> None:
    """Raise OptionError if there is no such file."""
    if not Path(file).is_file():
        raise OptionError(f"candidates ranking:{file}: there is no such file; give {FORMATS}")


@source(
    "ranking",
    Traits(
        cached=False,
        argument="FILE",
        check=check,
        label=lambda search: f"ranking {Path(search.argument).name}",
        fingerprint=lambda file: remembered(Path(file)),
    ),
)
def ranking(search: Search) -> Ranked:
    """A ranking of yours: a TREC run, JSON of BEIR, ranx or PyLate, or a table with a header; plain or gzipped."""
    path, notes = Path(search.argument), Notes()
    queries = [query.id for query in search.dataset.queries]
    matched = Matched(dict.fromkeys(queries), {name: row for row, name in enumerate(search.vectors.ids)})
    for scored in read(path, queries, notes):
        matched.add(scored)
    matched.check(path)
    matched.say(path.name, notes)
    if search.strict and notes.untidy:
        raise DataError(*(f"candidates ranking: {note}; leave --strict out to read it" for note in notes.untidy))
    places = ties(search.vectors.ids)
    ordered = [_ordered(scores or {}, places) for scores in matched.scores.values()]
    most = search.depth + max(map(len, search.dataset.excluded.values()), default=0)
    return Ranked(filled(ordered, most), notes.all)


@dataclass
class Matched:
    """A ranking beside a dataset.

    scores: query → {row of a document: its score}, None of a query that the ranking lacks; rows: of documents by id;
    queries, documents: those that the dataset lacks, each once, in order; again: how often a pair was repeated.
    """

    scores: dict[str, dict[int, float] | None]
    rows: dict[str, int]
    queries: dict[str, None] = field(default_factory=dict)
    documents: dict[str, None] = field(default_factory=dict)
    again: int = 0

    def add(self, scored: ScoredDoc) -> None:
        """Of a pair that is repeated the highest score counts."""
        if scored.query_id not in self.scores:
            self.queries[scored.query_id] = None
            return
        if (scores := self.scores[scored.query_id]) is None:
            scores = self.scores[scored.query_id] = {}
        if (row := self.rows.get(scored.doc_id)) is None:
            self.documents[scored.doc_id] = None
            return
        self.again += row in scores
        scores[row] = max(scored.score, scores.get(row, scored.score))

    def check(self, path: Path) -> None:
        """Raise DataError if nothing of the ranking is in the dataset, with what its ids differ in."""
        if any(self.scores.values()):
            return
        noun, lost, known = "document", self.documents, set(self.rows)
        if all(scores is None for scores in self.scores.values()):
            noun, lost, known = "query", self.queries, set(self.scores)
        if lost:
            problem = f"{path}: none of its {counted(len(lost), noun)} is in the dataset: {examples(lost)}"
            raise DataError(problem + difference(lost, lambda: known, "ranked", "rank"))

    def say(self, name: str, notes: Notes) -> None:
        if missing := [query for query, scores in self.scores.items() if scores is None]:
            what = f"{len(missing):,} of {counted(len(self.scores), 'query')} not in {name}"
            notes.say(what, missing, ": without candidates, counted as misses")
        if self.documents:
            what = f"{counted(len(self.documents), 'document')} of {name} not in the dataset left out"
            notes.mend(what, self.documents)
        if self.again:
            notes.mend(f"{counted(self.again, 'document')} of {name} repeated for a query: the highest score counts")


def _ordered(scores: dict[int, float], places: np.ndarray) -> np.ndarray:
    """Rows of a query's documents, best first, int64; equal scores by their places."""
    rows = np.fromiter(scores, np.int64, len(scores))
    with np.errstate(over="ignore"):
        values = np.fromiter(scores.values(), np.float64, len(scores)).astype(np.float32)
    return rows[np.lexsort((places[rows], -values))]


def read(path: Path, queries: Sequence[str], notes: Notes) -> Iterator[ScoredDoc]:
    """What a file ranks, in its own order. queries: those of the dataset, for lists that do not name their own.

    Raises DataError if the file is no ranking, or damaged.
    """
    try:
        with _opened(path) as file:
            head = file.read(HEAD).removeprefix(BOM).lstrip()
        line = head.partition(b"\n")[0]
        with _opened(path) as file:
            if not head:
                raise DataError(f"{path} is empty; give {FORMATS}")
            if _is_trec(line.split()):
                yield from _trec(path, file)
            elif head.startswith((b"{", b"[")):
                yield from _json(path, file, queries, notes)
            else:
                yield from _table(path, file, line.decode("utf-8", "replace"))
    except (OSError, EOFError, zlib.error, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); give {FORMATS}") from None


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]


def _is_trec(parts: Sequence[bytes]) -> bool:
    return len(parts) in (5, 6) and parts[3].lstrip(b"-").isdigit() and _is_number(parts[4])


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _trec(path: Path, file: BinaryIO) -> Iterator[ScoredDoc]:
    """Columns stand between white space as C knows it, as in trec_eval; a tag may be missing."""
    encoded = ENCODED.encode()
    for number, line in enumerate(file, 1):
        parts = (line.removeprefix(BOM) if number == 1 else line).split()
        if not parts:
            continue
        if len(parts) not in (5, 6):
            raise DataError(f"{path}:{number}: {len(parts)} columns instead of a TREC run's 6")
        query_id, doc_id = parts[0].decode(), parts[2].decode()
        if parts[-1] == encoded:
            query_id, doc_id = unquote(query_id), unquote(doc_id)
        yield ScoredDoc(query_id, doc_id, _score(parts[4].decode(), f"{path}:{number}"))


def _json(path: Path, file: BinaryIO, queries: Sequence[str], notes: Notes) -> Iterator[ScoredDoc]:
    content = json.load(file)
    if isinstance(content, list):
        if len(content) != len(queries):
            problem = f"{path}: {len(content):,} lists without query ids for {counted(len(queries), 'query')}"
            raise DataError(f"{problem} of the dataset; write {{query: [{{'id': document, 'score': score}}, …]}}")
        notes.mend(f"{path.name} names no queries: its lists are taken for those of the dataset in order", queries)
        content = dict(zip(queries, content, strict=True))
    for query_id, ranked in content.items():
        for doc_id, score in _pairs(path, query_id, ranked):
            yield ScoredDoc(query_id, str(doc_id), _score(score, f"{path}, query {query_id!r}"))


def _pairs(path: Path, query_id: str, ranked: Any) -> Iterable[tuple[Any, Any]]:
    """(document, score) of one query."""
    if isinstance(ranked, dict):
        return ranked.items()
    if isinstance(ranked, list) and all(
        isinstance(entry, dict) and {"id", "score"} <= entry.keys() for entry in ranked
    ):
        return [(entry["id"], entry["score"]) for entry in ranked]
    wanted = "{document: score} nor a list of {'id': document, 'score': score}"
    raise DataError(f"{path}, query {query_id!r}: neither {wanted}")


def _table(path: Path, file: BinaryIO, header: str) -> Iterator[ScoredDoc]:
    """Rows under a header; without scores the best rank has the highest."""
    csv.field_size_limit(LONGEST)
    separator = next((mark for mark in "\t,;" if mark in header), "\t")
    rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""), delimiter=separator)
    names = next(row for row in rows if row)
    chosen = TABLE.choose(names)
    by_rank = "rank" in chosen and "score" not in chosen
    if lacking := TABLE.lacking(chosen | ({"score": chosen["rank"]} if by_rank else {}), names):
        raise DataError(f"{path}: {lacking}; its first line must be a header, or give {FORMATS}")
    at = [names.index(chosen[name]) for name in ("query", "document", "rank" if by_rank else "score")]
    for cells in rows:
        if cells and len(cells) != len(names):
            raise DataError(f"{path}:{rows.line_num}: {len(cells)} columns instead of {len(names)}")
        if cells:
            query_id, doc_id, value = (cells[column] for column in at)
            score = _score(value, f"{path}:{rows.line_num}")
            yield ScoredDoc(query_id, doc_id, -score if by_rank else score)


def _score(value: Any, where: str) -> float:
    """A score that is finite. Raises DataError saying where it stands."""
    try:
        score = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{where}: score {str(value)[:40]!r} is no finite number")
    return score
