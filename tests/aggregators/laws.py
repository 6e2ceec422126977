"""What the program promises of every aggregator, as functions that raise AssertionError: the laws that ship with
``harness.aggregators``, and those of the code that scores with one."""

from __future__ import annotations

import numpy as np
import torch

from harness.aggregators import Aggregator, laws
from harness.records import Arm
from harness.scoring.sweep import sweep
from tests.conftest import all_candidates, multivectors

FLOAT32 = 1e-5  # of a score; more only where the aggregator's own functions round more in float32


def scored(agg: Aggregator) -> None:
    """The sweep, compiled or not, equals the aggregator's torch functions on each whole document, in float64."""
    documents = multivectors([1, 2, 5, 40, 64, 130, 300], dim=24, seed=3)
    queries = multivectors([1, 3, 17, 33], dim=24, seed=4, prefix="q")
    lengths = [1, 4, 32, 128, 512]
    scores = sweep(documents, queries, all_candidates(queries, documents), Arm("truncate", None, None), lengths, [agg])
    expected, plain = np.empty(scores.values[0].shape), np.empty(scores.values[0].shape)
    for at, q, d in np.ndindex(expected.shape):
        sims = torch.from_numpy(queries.of(q).astype(np.float64) @ documents.of(d).astype(np.float64).T)
        sims = sims[:, : lengths[at]]
        expected[at, q, d], plain[at, q, d] = agg(sims).sum(), agg(sims.float()).sum()
    tolerance = FLOAT32 + 2 * np.abs(plain - expected).max()
    np.testing.assert_allclose(scores.values[0], expected, rtol=FLOAT32, atol=tolerance)


LAWS = [*laws.LAWS, scored]
