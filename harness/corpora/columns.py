"""The names that people give the columns of documents, queries and judgments."""

from __future__ import annotations

from collections.abc import Sequence

QUERY = {"query-id", "queryid", "qid", "query", "q-id", "topic", "topic-id", "topicid", "question-id"}
DOCUMENT = {"corpus-id", "corpusid", "doc-id", "docid", "docno", "doc", "pid", "passage-id", "document-id", "page-id"}
GRADE = {"score", "relevance", "rel", "label", "grade", "judgment", "judgement", "qrel", "relevant"}
ITERATION = {"0", "q0", "iter", "iteration", "unused"}  # the second of TREC's four columns


def is_header(cells: Sequence[str]) -> bool:
    """Whether the cells of a line of judgments are words of a header, each of its own column."""
    columns = [QUERY, ITERATION, DOCUMENT, GRADE] if len(cells) == 4 else [QUERY | {"id"}, DOCUMENT | {"id"}, GRADE]
    found = [cell.strip().lower().replace("_", "-").strip("-") for cell in cells]
    return 2 <= len(found) <= len(columns) and all(one in known for one, known in zip(found, columns, strict=False))
