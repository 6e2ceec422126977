"""The registry of fills. Filler is a function of the seed, the document's id and, for some fills, of the corpus."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.records import Arm, MultiVectors
from harness.registry import Registry

Filler = Callable[[int, int], np.ndarray]
"""(document row, count) → float16 (count, d); a longer draw begins with the shorter one."""

FILLS: Registry[Callable[[MultiVectors, Arm], Filler]] = Registry("fill")
"""(corpus, arm) → what draws the filler of its documents."""
