"""How an aggregator routes the gradient of a score to patches: g_j = ‖∂score/∂d_j‖, and how concentrated g is.

For one (query, document) pair the factor that a contrastive loss adds is common to all patches, so every figure here
is the same for the loss as for the score. Source: *Spike Hijacking in Late-Interaction Retrieval*, section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from harness.aggregators import Aggregator


@dataclass(frozen=True)
class Concentration:
    """Gini as the study writes it and the standard one (larger by 1/M), the largest share, exp of the entropy of the
    shares, and the share of patches whose gradient is exactly zero."""

    gini: float
    gini_standard: float
    top_share: float
    effective_patches: float
    zero_share: float


def patch_gradients(aggregator: Aggregator, query: Tensor, document: Tensor) -> Tensor:
    """‖∂score/∂d_j‖ for every patch: (…, t, d), (…, p, d) → (…, p). ∂score/∂d_j = Σ_i ∂φ_i/∂S_ij · q_i."""
    norms: Tensor = (aggregator.gradient(query @ document.mT).mT @ query).norm(dim=-1)
    return norms


def gini(g: np.ndarray) -> np.ndarray:
    """The study's Gini of non-negative values (…, M): 1 − 2/(M Σg) Σ_j Σ_{m≤j} g_(m), g ascending; NaN if all are zero.

    It is the standard Gini less 1/M: equal values give −1/M, a single non-zero one 1 − 2/M.
    """
    ordered = np.sort(np.asarray(g, float), axis=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(1 - 2 * np.cumsum(ordered, axis=-1).sum(-1) / (ordered.shape[-1] * ordered.sum(-1)))


def concentration(g: np.ndarray) -> Concentration:
    """How concentrated gradient norms (M) are; every figure but the zeros' share is NaN if all are zero."""
    g = np.abs(np.asarray(g, float))
    shares = g / g.sum() if g.sum() > 0 else np.full(len(g), np.nan)
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1.0)))
    raw = float(gini(g))
    return Concentration(raw, raw + 1 / len(g), float(shares.max()), float(np.exp(entropy)), float((g == 0).mean()))
