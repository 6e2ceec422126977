"""One query under attack, token by token: which patch won before injection, which after, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness import encoders
from harness.commands.prepare import Inputs
from harness.errors import OptionError, unknown
from harness.progress import Advance
from harness.records import Candidates
from harness.scoring.injected import corpus_norm
from harness.statistics.tables import HIJACK
from harness.vectors.injections import Injection

COLUMNS = ["query_id", "doc_id", "inject", "count", "token", "before_patch", "before_text", "before_similarity"]
COLUMNS += ["after_source", "after_patch", "after_similarity"]


def check(query_id: str | None, inputs: Inputs) -> None:
    """Raise OptionError if there is no such query."""
    if query_id is not None and query_id not in inputs.queries.ids:
        raise OptionError(unknown("query", query_id, inputs.queries.ids))


def explain(query_id: str, injections: Sequence[Injection], inputs: Inputs, others: Candidates) -> pd.DataFrame:
    """A row a query token and kind of injection, at the largest count, in the first candidate (of ``exact``, the first
    document) that is not relevant.

    before_patch, after_patch: position of the winning (most similar) patch in the document, or of the injected patch in
    its stream; before_text: the winning patch's token where the encoder has tokens; after_source: own or injected.
    """
    if max(injections[0].counts) == 0:
        raise OptionError("--explain needs injected patches; give --counts above 0")
    query = list(inputs.queries.ids).index(query_id)
    if not (others.rows[query] >= 0).any():
        raise OptionError(f"query {query_id!r} has no candidate that is not relevant; give a larger --depth")
    return pd.DataFrame(tokens_of(query, injections, inputs, others), columns=COLUMNS)


def align(
    injections: Sequence[Injection], inputs: Inputs, others: Candidates, queries: Sequence[str], advance: Advance
) -> pd.DataFrame:
    """The table of ``explain`` for several queries; those without a candidate that is not relevant are left out."""
    place = {name: row for row, name in enumerate(inputs.queries.ids)}
    rows: list[tuple[Any, ...]] = []
    for name in queries if max(injections[0].counts) else ():
        rows += tokens_of(place[name], injections, inputs, others)
        advance()
    return pd.DataFrame(rows, columns=COLUMNS)


def most_hurt(per_query: pd.DataFrame, most: int = 100) -> list[str]:
    """The queries that lose most from no injection to the largest count: of the first pool under the first kind of
    injection, on average over measures; of equals those that lose most over all pools and kinds.

    A query's injected patches take some ten milliseconds a kind to make again, so not all queries are aligned.
    """
    measured = per_query[per_query["measure"] != HIJACK]
    first = measured[
        (measured["pool"] == measured["pool"].iloc[0]) & (measured["inject"] == measured["inject"].iloc[0])
    ]
    lost = pd.DataFrame({"first": loss(first), "all": loss(measured)})
    return list(lost.sort_values(["first", "all"], ascending=False, kind="stable").index[:most])


def loss(values: pd.DataFrame) -> pd.Series[float]:
    """By query the mean without injection less the mean at the largest count."""
    by_count = values.pivot_table("value", "query_id", "count", sort=False)
    return by_count[by_count.columns.min()] - by_count[by_count.columns.max()]


def tokens_of(
    query: int, injections: Sequence[Injection], inputs: Inputs, others: Candidates
) -> Iterator[tuple[Any, ...]]:
    """Rows of one query under every kind of injection; none if it has no candidate that is not relevant."""
    row = int(next(iter(others.rows[query][others.rows[query] >= 0]), -1))
    if row < 0:
        return
    names = inputs.queries.ids[query], inputs.documents.ids[row]
    tokens = inputs.queries.of(query).astype(np.float32)
    own = tokens @ inputs.documents.of(row).astype(np.float32).T  # (t, p)
    words = inputs.encoder.tokens(inputs.dataset.queries[query].text, "query")
    patches = encoders.names(inputs.encoder, inputs.dataset.documents[row])
    norm, count = corpus_norm(inputs.documents), max(injections[0].counts)
    for injection in injections:
        streams = [np.array([injection.stream(name)]) for name in names]
        injected = tokens @ injection.bank(names[0], tokens, norm)[injection.picks(*streams)[0]].T  # (t, K)
        for token in range(len(tokens)):
            before, attack = int(own[token].argmax()), int(injected[token].argmax())
            taken = bool(injected[token, attack] > own[token, before])
            after = ("injected", attack, injected[token, attack]) if taken else ("own", before, own[token, before])
            yield (*names, injection.kind, count, words[token], before, patches[before], own[token, before], *after)
