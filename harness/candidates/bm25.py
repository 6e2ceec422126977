"""The words of the texts."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.candidates.base import Ranked, Search, Traits, best, source
from harness.errors import DataError
from harness.records import ties


@source("bm25", Traits(of_text=True, packages=("bm25s", "pystemmer")))
def bm25(search: Search) -> Ranked:
    """BM25 over the text, k1 = 0.9 and b = 0.4 as in Anserini's flat index, English stop words, Snowball stems."""
    import bm25s
    import Stemmer

    if not any(document.text.strip() for document in search.dataset.documents):
        raise DataError("candidates bm25: the pages have no text; give --candidates faiss, pooled or exact")

    def tokenize(texts: list[str], ids: bool) -> Any:
        stemmer = Stemmer.Stemmer("english")
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, return_ids=ids, show_progress=False)

    with search.stages("candidates: bm25", len(search.dataset.queries), "queries") as advance:
        index = bm25s.BM25(method="lucene", k1=0.9, b=0.4)
        words = tokenize([document.text for document in search.dataset.documents], ids=True)
        if not words.vocab:  # nothing but stop words
            return Ranked(np.full((len(search.dataset.queries), 1), -1, np.int64))
        index.index(words, show_progress=False)
        places, found = ties(search.vectors.ids), []
        for asked in tokenize([query.text for query in search.dataset.queries], ids=False):
            scores = index.get_scores_from_ids(index.get_tokens_ids(asked))[None]
            rows = best(scores, places, search.depth + 1)
            found.append(np.where(np.take_along_axis(scores, rows, axis=1) > 0, rows, -1))
            advance(1)
    return Ranked(np.concatenate(found))
