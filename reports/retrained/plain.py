"""MiniLM's plain tokens cut to their first 128 dimensions, as vectors that ``embeddings:FOLDER`` reads.

python reports/retrained/plain.py FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from harness import corpora, encoders
from harness.progress import Stages
from harness.vectors import store

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
dataset, encoder = corpora.load("scifact", "test"), encoders.load("minilm", "float32", "cpu")
for role, name in (("document", "documents"), ("query", "queries")):
    whole = store.fetch(encoder, getattr(dataset, name), role, Stages())
    vectors = whole.vectors[:].astype(np.float32)[:, :128]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    content = {"vectors": vectors.astype(np.float16), "counts": whole.counts}
    save_file(content, folder / f"{name}.safetensors", {"ids": json.dumps(whole.ids)})
