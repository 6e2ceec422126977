"""What multiplies on this machine, as a run's folder and its manifest name it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

from harness.scoring import gemm, padded, tiles

READERS = ("mkl_serv_cbwr_get", "MKL_CBWR_Get")  # of MKL inside torch's own library, or beside it
ALL, STRICT = -1, 0x10000  # asks for everything that is set; the bit that MKL_CBWR=…,STRICT sets


def kind(device: torch.device | None) -> str:
    """The kind of product: scores of one kind are the same to the last bit, those of two kinds need not be."""
    if device is not None:
        return f"{device.type} {'torch' if padded.no_triton(device) else 'triton'}"
    if tiles.available():
        return "amx"
    return "mkl" if gemm.address() else "blas"


def mkl_mode() -> str:
    """Whether ``MKL_CBWR`` took effect: strict, not strict, off, unknown; or that torch has no MKL.

    MKL reads it at its first product, which may have come before this program was imported.
    """
    if not torch.backends.mkl.is_available():
        return "no MKL"
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    library = ctypes.CDLL(str(path)) if path.exists() else None
    read = next((getattr(library, name) for name in READERS if hasattr(library, name)), None)
    if read is None:
        return "unknown"
    if read(ALL) & STRICT:
        return "strict"
    return "off" if read(ALL) <= 1 else "not strict"


def notes() -> list[str]:
    """What a run must say of its products."""
    mode, asked = mkl_mode(), os.environ.get("MKL_CBWR", "")
    if mode not in ("off", "not strict"):
        return []
    why = f"MKL_CBWR is {asked!r}" if "STRICT" not in asked else "MKL had multiplied before harness was imported"
    return [f"MKL's reproducible mode is {mode} ({why}): last bits may depend on threads and batches"]
