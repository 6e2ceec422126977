"""One query under attack, token by token: which patch won before injection, which after, and by how much."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness import encoders
from harness.config import StressConfig
from harness.errors import OptionError, unknown
from harness.injection import Injection
from harness.pipeline.inputs import Inputs
from harness.records import Candidates
from harness.scoring.injected import corpus_norm

COLUMNS = ["query_id", "doc_id", "inject", "count", "token", "before_patch", "before_text", "before_similarity"]
COLUMNS += ["after_source", "after_patch", "after_similarity"]


def check(query_id: str | None, inputs: Inputs) -> None:
    """Raise OptionError if there is no such query."""
    if query_id is not None and query_id not in inputs.queries.ids:
        raise OptionError(unknown("query", query_id, inputs.queries.ids))


def explain(query_id: str, config: StressConfig, inputs: Inputs, others: Candidates) -> pd.DataFrame:
    """A row a query token and kind of injection, at the largest count, in the first candidate (of ``exact``, the first
    document) that is not relevant.

    before_patch, after_patch: position of the winning (most similar) patch in the document, or of the injected patch in
    its stream; before_text: the winning patch's token where the encoder has tokens; after_source: own or injected.
    """
    if max(config.counts) == 0:
        raise OptionError("--explain needs injected patches; give --counts above 0")
    query = list(inputs.queries.ids).index(query_id)
    row = int(next(iter(others.rows[query][others.rows[query] >= 0]), -1))
    if row < 0:
        raise OptionError(f"query {query_id!r} has no candidate that is not relevant; give a larger --depth")
    tokens = inputs.queries.of(query).astype(np.float32)
    own = tokens @ inputs.documents.of(row).astype(np.float32).T  # (t, p)
    words = inputs.encoder.tokens(inputs.dataset.queries[query].text, "query")
    patches = encoders.names(inputs.encoder, inputs.dataset.documents[row])
    rows = []
    for kind in config.inject:
        injection = Injection(kind, config.counts, config.cosine, config.tokens, config.seed)
        bank = injection.bank(query_id, tokens, corpus_norm(inputs.documents))
        streams = [np.array([injection.stream(name)]) for name in (query_id, inputs.documents.ids[row])]
        injected = tokens @ bank[injection.picks(*streams)[0]].T  # (t, K)
        for token in range(len(tokens)):
            before, attack = int(own[token].argmax()), int(injected[token].argmax())
            taken = bool(injected[token, attack] > own[token, before])
            after = ("injected", attack, injected[token, attack]) if taken else ("own", before, own[token, before])
            names = (query_id, inputs.documents.ids[row], kind, max(config.counts), words[token])
            rows.append((*names, before, patches[before], own[token, before], *after))
    return pd.DataFrame(rows, columns=COLUMNS)
