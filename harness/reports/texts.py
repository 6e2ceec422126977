"""What a run shows of its corpus: every query, and the documents relevant to it, so that a report needs no dataset."""

from __future__ import annotations

import pandas as pd

from harness.records import Dataset

LONGEST = 1_500  # letters of a document that are kept
COLUMNS = ["kind", "query_id", "id", "relevance", "text"]


def texts(dataset: Dataset) -> pd.DataFrame:
    """A row a query (kind ``query``), then a row a relevant document of it (kind ``document``), texts cut.

    relevance: as judged, 0 of a query's own row.
    """
    judged = {qrel.doc_id for qrel in dataset.qrels if qrel.relevance > 0}
    documents = {document.id: document for document in dataset.documents if document.id in judged}
    rows = [("query", query.id, query.id, 0, cut(query)) for query in dataset.queries]
    asked = {query.id for query in dataset.queries}
    for qrel in dataset.qrels:
        if qrel.relevance > 0 and qrel.query_id in asked:
            text = cut(documents.get(qrel.doc_id))  # nothing of a judged document that is not in the collection
            rows.append(("document", qrel.query_id, qrel.doc_id, qrel.relevance, text))
    return pd.DataFrame(rows, columns=COLUMNS)


def cut(item: object) -> str:
    """An item's text, cut after LONGEST letters; nothing where it has none, as a page image."""
    text = getattr(item, "text", "") or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
