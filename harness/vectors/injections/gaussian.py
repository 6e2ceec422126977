"""Patches near nothing: the control."""

from __future__ import annotations

import numpy as np

from harness.vectors.injections.base import BANK, INJECTIONS, Injection


@INJECTIONS.register("gaussian")
def gaussian(injection: Injection, tokens: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Random directions: the control, which no query token asked for."""
    return random.standard_normal((BANK, tokens.shape[1]), np.float32)
