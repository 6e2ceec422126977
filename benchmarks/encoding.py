"""Tokens encoded a second, against ``SentenceTransformer.encode(output_value="token_embeddings")`` at its defaults.

The same weights, the same texts: entries of the standard library's documentation, cut so that both read all of each.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks import timing
from harness import corpora, encoders
from harness.encoders.settings import settings

TEXTS, LETTERS = 256, 500  # sentence-transformers reads 256 tokens of a text, all that so many letters have


def main(rounds: int) -> dict[str, dict[str, float]]:
    """Tokens a second of each, how many times sentence-transformers' that is, and the share of the float32 peak."""
    from sentence_transformers import SentenceTransformer

    documents = corpora.load("stdlib", "test").documents
    documents = [replace(one, text=one.text[:LETTERS]) for one in documents[:: len(documents) // TEXTS]]
    folder, texts = encoders.base.locate("minilm"), [one.text for one in documents]
    peer = SentenceTransformer(str(folder), device="cpu")
    ours = {dtype: encoders.load("minilm", dtype, "cpu") for dtype in ("float32", "bfloat16")}
    tokens = sum(len(one) for one in peer.encode(texts, output_value="token_embeddings", convert_to_numpy=False))
    made = sum(len(vectors) for batch in ours["float32"].encode(documents, "document") for _, vectors in batch)
    assert made == tokens, f"{made} tokens against {tokens}: they do not read the same"
    cases = {
        "peak": timing.square(),
        "sentence-transformers": lambda: peer.encode(texts, output_value="token_embeddings"),
        **{f"harness, {dtype}": lambda one=one: list(one.encode(documents, "document")) for dtype, one in ours.items()},
    }
    seconds = timing.alternate(cases, rounds)
    rate, base = timing.peak(seconds.pop("peak")), seconds["sentence-transformers"]
    work = tokens * _flops(settings(folder / "config.json"))
    return {
        name: {
            "tokens_per_second": tokens / one,
            "times_sentence_transformers": base / one,
            "share_of_peak": work / one / rate,
        }
        for name, one in seconds.items()
    }


def _flops(config: dict) -> float:
    """Operations a token of the products with weights; those of attention, a few per cent here, are left out."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    return 2.0 * config["num_hidden_layers"] * (4 * hidden * hidden + 2 * hidden * inner)
