"""Collections in which the better pool is known: every query has a sharp and a spread document, and one is relevant.

Query tokens are concepts, orthogonal unit vectors. The *sharp* document has one patch for each token, close to it, and
as many that are noise; every patch of the *spread* one speaks a little of all tokens. MaxSim prefers the sharp
document, smoothing the spread one, so the judgments alone decide who is right: the vectors of all collections of a seed
are the same.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from harness.randomness import generator

CONCEPTS, TOKENS, PATCHES, QUERIES = 256, 8, 16, 100
SHARP = 0.7  # cosine of a sharp patch to its token: above an injected patch's 0.6
SPREAD = 0.63  # cosine of a spread patch to the sum of the tokens: both losers fall alike with it
JUDGED = {"sharp": lambda at: "sharp", "spread": lambda at: "spread", "mixed": lambda at: ("sharp", "spread")[at % 2]}


def patches(centre: np.ndarray, cosine: float, random: np.random.Generator) -> np.ndarray:
    """Unit vectors at the cosine to unit centres (p, d), otherwise random."""
    noise = random.standard_normal(centre.shape)
    noise -= (noise * centre).sum(1, keepdims=True) * centre
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return cosine * centre + np.sqrt(1 - cosine**2) * noise


def documents(tokens: np.ndarray, spread: float, random: np.random.Generator) -> dict[str, np.ndarray]:
    """The sharp and the spread document of a query (t, d): each (PATCHES, d), in random order."""
    noise = random.standard_normal((PATCHES - len(tokens), tokens.shape[1]))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    sharp = random.permutation(np.concatenate([patches(tokens, SHARP, random), noise]))
    whole = np.tile(tokens.sum(0) / np.sqrt(len(tokens)), (PATCHES, 1))
    return {"sharp": sharp, "spread": patches(whole, spread, random)}


def write(folder: Path, judged: str, seed: int, queries: int = QUERIES, spread: float = SPREAD) -> dict[str, str]:
    """A BEIR folder and its vectors; judged: which document is relevant, ``mixed`` is half of each.

    Returns the dataset and checkpoint of a question.
    """
    random, vectors = generator(seed, "evidence"), {"documents": {}, "queries": {}}
    for at in range(queries):
        tokens = np.eye(CONCEPTS)[random.permutation(CONCEPTS)[:TOKENS]]
        vectors["queries"][f"q{at}"] = tokens
        for kind, made in documents(tokens, spread, random).items():
            vectors["documents"][f"{kind}{at}"] = made
    dataset, encoded = folder / f"{judged}-{seed}", folder / f"{judged}-{seed}-vectors"
    for path in (dataset / "qrels", encoded):
        path.mkdir(parents=True)
    for role, file in (("documents", "corpus"), ("queries", "queries")):
        ids, many = list(vectors[role]), np.stack(list(vectors[role].values()))
        rows = [json.dumps({"_id": name, "text": name}) for name in ids]
        (dataset / f"{file}.jsonl").write_text("\n".join(rows))
        flat = {"vectors": many.reshape(-1, CONCEPTS).astype(np.float16), "counts": np.full(len(ids), many.shape[1])}
        save_file(flat, encoded / f"{role}.safetensors", {"ids": json.dumps(ids)})
    relevant = [f"q{at}\t{JUDGED[judged](at)}{at}\t1" for at in range(queries)]
    (dataset / "qrels" / "test.tsv").write_text("\n".join(relevant))
    return {"dataset": str(dataset), "checkpoint": f"embeddings:{encoded}"}
