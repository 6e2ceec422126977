"""Patches encoded a second by every family, against ``SentenceTransformer.encode(output_value="token_embeddings")``.

The same weights, the same texts: entries of the standard library's documentation, cut so that all of each is read. The
families besides the plain transformer have a projection to DIM dimensions, and keep every token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import timing
from harness import corpora, encoders
from harness.encoders import formats
from harness.encoders.settings import settings
from harness.records import Document

TEXTS, LETTERS = 256, 500  # sentence-transformers reads 256 tokens of a text, all that so many letters have
DIM = 128
PLAIN = "harness, float32"


def main(rounds: int) -> dict[str, dict[str, float]]:
    """Patches a second of each, how many times sentence-transformers' that is, and the share of the float32 peak."""
    from sentence_transformers import SentenceTransformer

    documents = corpora.load("stdlib", "test").documents
    documents = [replace(document, text=document.text[:LETTERS]) for document in documents[:: len(documents) // TEXTS]]
    folder, texts = encoders.base.locate("minilm"), [document.text for document in documents]
    peer = SentenceTransformer(str(folder), device="cpu")
    tokens = sum(len(text) for text in peer.encode(texts, output_value="token_embeddings", convert_to_numpy=False))
    with tempfile.TemporaryDirectory() as root:
        ours = {f"harness, {dtype}": encoders.load("minilm", dtype, "cpu") for dtype in ("float32", "bfloat16")}
        ours |= {f"harness, {family}": encoder for family, encoder in families(Path(root)).items()}
        patches = {name: _encode(encoder, documents) for name, encoder in ours.items()}
        assert patches[PLAIN] == tokens, f"{patches[PLAIN]} tokens against {tokens}: they do not read the same"
        cases: dict[str, Any] = {
            "peak": timing.square(),
            "sentence-transformers": lambda: peer.encode(texts, output_value="token_embeddings"),
            **{name: lambda encoder=encoder: _encode(encoder, documents) for name, encoder in ours.items()},
        }
        seconds = timing.alternate(cases, rounds)
    peak, operations = timing.peak(seconds.pop("peak")), _operations(settings(folder / "config.json"))
    rates = {name: patches.get(name, tokens) / taken for name, taken in seconds.items()}
    return {
        name: {
            "tokens_per_second": rate,
            "times_sentence_transformers": rate / rates["sentence-transformers"],
            "share_of_peak": operations * rate / peak,
        }
        for name, rate in rates.items()
    }


def families(root: Path) -> dict[str, encoders.Encoder]:
    """MiniLM under a random projection, written in the format of every family that has one."""
    origin = formats.origin("minilm")
    weight = np.random.default_rng(0).standard_normal((DIM, origin.hidden)).astype(np.float32) / origin.hidden**0.5
    metadata = {**origin.metadata, "dim": DIM, "mask_punctuation": False}
    model = formats.model_of(origin, weight)
    found = {}
    for kind in formats.FORMATS:
        formats.write(kind, root / kind, model, metadata, 0)
        found[kind] = encoders.load(str(root / kind), "float32", "cpu")
    return found


def _encode(encoder: encoders.Encoder, documents: Sequence[Document]) -> int:
    """Encode all; patches made."""
    return sum(len(vectors) for batch in encoder.encode(documents, "document") for _, vectors in batch)


def _operations(config: dict[str, Any]) -> float:
    """Operations a token of the products with weights; those of attention, a few per cent here, are left out."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return 2.0 * config["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * inner)
