"""Which pass scores which aggregators on a device, and what a run must say of it.

A device of None is the CPU: aggregators with a kernel go through the compiled pass, all others through the eager one.
On a GPU some go through Triton, all others through the padded pass.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from types import ModuleType

import numpy as np
import torch

from harness.aggregators import Aggregator
from harness.errors import first_line
from harness.records import MultiVectors
from harness.scoring import blas, eager, padded


def passes(aggregators: Sequence[Aggregator], device: torch.device | None) -> list[tuple[list[int], ModuleType]]:
    """Places of aggregators, and the pass that scores them: each file of a pass has ``score_sweep``."""
    fast, plain = kernels(device), eager if device is None else padded
    has = [at for at, aggregator in enumerate(aggregators) if fast and fast.has(aggregator)]
    others = [at for at in range(len(aggregators)) if at not in has]
    return [(places, file) for places, file in ((has, fast), (others, plain)) if places and file]


def kernels(device: torch.device | None) -> ModuleType | None:
    """The pass of a device that has kernels of its own, where it runs."""
    if device is None:
        return None if no_kernels() else importlib.import_module("harness.scoring.compiled")
    return importlib.import_module("harness.scoring.fused") if runs_triton(device) else None


@functools.cache
def no_kernels() -> str:
    """Why the compiled pass does not run, or nothing: numba may be missing, or a version with other internals."""
    try:
        importlib.import_module("harness.scoring.compiled").attempt()
    except Exception as error:  # whatever stops it, torch does the work
        return first_line(error)
    return ""


def runs_triton(device: torch.device) -> bool:
    return device.type == "cuda" and not no_triton(device)


@functools.cache
def no_triton(device: torch.device) -> str:
    """Why Triton does not run on a device, or nothing: it may be missing, a C compiler too, or the GPU be too old."""
    try:
        importlib.import_module("harness.scoring.fused").attempt(device)
    except Exception as error:  # whatever stops it, torch does the work
        return first_line(error)
    return ""


def packed(queries: MultiVectors, device: torch.device | None) -> np.ndarray:
    """Tokens as the processor's matrix unit reads them, see amx.packed; none where something else multiplies."""
    if device is not None or no_kernels():
        return np.zeros(0, np.uint32)
    from harness.scoring import amx

    return amx.packed(queries.vectors[:], queries.offsets)


def kind(device: torch.device | None) -> str:
    """The kind of product: scores of one kind are the same to the last bit, those of two kinds need not be."""
    if device is not None:
        return f"{device.type} {'torch' if no_triton(device) else 'triton'}"
    if no_kernels():
        return "torch"
    from harness.scoring import amx

    return "amx" if amx.available() else "mkl" if blas.sgemm() else "blas"


def notes(device: torch.device | None) -> list[str]:
    """What a run on a device must say of its scoring pass."""
    if device is None:
        reason = no_kernels()
        return [f"no compiled kernels here ({reason}): every aggregator is scored in torch, slower"] if reason else []
    reason = no_triton(device)
    return [f"no Triton here ({reason}): the sweep runs in torch"] if reason else []
