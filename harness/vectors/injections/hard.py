"""Patches near a query token."""

from __future__ import annotations

import numpy as np

from harness.vectors.injections.base import BANK, INJECTIONS, Injection, unit


@INJECTIONS.register("hard")
def hard(injection: Injection, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Aimed at a token: normalize(c·q_t + √(1−c²)·u), u random, of norm 1, orthogonal to q_t."""
    target = unit(tokens)[random.integers(0, len(tokens), BANK)]
    noise = random.standard_normal(target.shape, np.float32)
    noise = unit(noise - (noise * target).sum(1, keepdims=True) * target)
    return np.asarray(injection.cosine * target + np.sqrt(1 - injection.cosine**2) * noise)
