"""Patches near many query tokens at once."""

from __future__ import annotations

import numpy as np

from harness.vectors.injections.base import BANK, INJECTIONS, Injection, unit

JITTER = 0.1  # norm of the noise added to a spike, itself of norm 1


@INJECTIONS.register("spike")
def spike(injection: Injection, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The normalised mean of several query tokens, jittered: one patch that speaks to many tokens."""
    some = min(injection.tokens, len(tokens))
    chosen = random.random((BANK, len(tokens))).argsort(axis=1)[:, :some]
    mixed = tokens[chosen].mean(axis=1)
    noise = unit(random.standard_normal(mixed.shape, np.float32))
    return unit(mixed) + np.float32(JITTER) * noise
