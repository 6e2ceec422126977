"""A whole encoder, colbert-ai's model and tokenizers, with gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from harness.encoders.colbert import ColBERT, confined
from harness.records import Document, Query


class Whole:
    """The model of a Stanford checkpoint, all of its weights trained; documents are cut to ``length`` tokens.

    weight: the projection at the beginning, float32 (dim, hidden).
    """

    def __init__(
        self, encoder: ColBERT, weight: np.ndarray, queries: Sequence[Query], documents: Sequence[Document], length: int
    ):
        self.checkpoint: Any = encoder.loaded
        self.checkpoint.model.raw_tokenizer = self.checkpoint.raw_tokenizer
        self.checkpoint.model.linear.weight = torch.nn.Parameter(torch.from_numpy(weight).to(encoder.device))
        self.device, self.items = encoder.device, {"query": queries, "document": documents}
        self.checkpoint.doc_tokenizer.doc_maxlen = min(length, encoder.limit)
        self.parameters = [one for name, one in self.checkpoint.model.named_parameters() if ".pooler." not in name]

    def vectors(self, rows: np.ndarray, role: str) -> tuple[torch.Tensor, list[int]]:
        one, query = self.checkpoint, role == "query"
        with confined(self.device):
            texts = [self.items[role][row].text for row in rows.tolist()]
            ids, mask = (one.query_tokenizer if query else one.doc_tokenizer).tensorize(texts)
            vectors = one.linear(one.bert(ids, attention_mask=mask)[0])  # (b, t, d)
            kept = torch.tensor(one.mask(ids, skiplist={} if query else one.skiplist), device=vectors.device)
        return torch.nn.functional.normalize(vectors[kept], dim=-1), kept.sum(1).tolist()

    def train(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.checkpoint.model.train()

    def eval(self) -> None:
        self.checkpoint.model.eval()
