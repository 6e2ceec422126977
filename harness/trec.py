"""Rankings as TREC runs: lines of six columns with white space between; ids that hold any are percent-encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from harness.records import ScoredDoc

TAG = "harness"
ENCODED = f"{TAG}-percent-encoded"  # the tag of a ranking whose ids are


def unfit(name: str) -> bool:
    """Whether a TREC file, whose columns white space parts, cannot hold an id as it is, or would not give it back."""
    return "%" in name or name.split() != [name]


def fitted(name: str) -> str:
    """An id without white space: that and % are percent-encoded, all else is as it was. unquote gives it back."""
    if not unfit(name):
        return name
    return "".join(quote(one, safe="") if unfit(one) else one for one in name)


def write(ranking: Iterable[ScoredDoc]) -> str:
    """The lines of a ranking, a query's documents best first; nine digits keep a float32 exactly.

    Where an id holds white space or %, both are percent-encoded in all lines, and their tag says so.
    """
    ranking = list(ranking)
    encoded = any(unfit(one.query_id) or unfit(one.doc_id) for one in ranking)
    if encoded:
        ranking = [ScoredDoc(fitted(query_id), fitted(doc_id), score) for query_id, doc_id, score in ranking]
    lines, last, rank, tag = [], None, 0, ENCODED if encoded else TAG
    for query_id, doc_id, score in ranking:
        rank = rank + 1 if query_id == last else 1
        last = query_id
        lines.append(f"{query_id} Q0 {doc_id} {rank} {score:.9g} {tag}\n")
    return "".join(lines)


def read(lines: Iterable[str]) -> Iterator[ScoredDoc]:
    """The ranking in lines that ``write`` made. Raises ValueError on any other line."""
    for line in lines:
        query_id, _, doc_id, _, score, tag = line.split(" ")
        if tag.rstrip("\n") == ENCODED:
            query_id, doc_id = unquote(query_id), unquote(doc_id)
        yield ScoredDoc(query_id, doc_id, float(score))
