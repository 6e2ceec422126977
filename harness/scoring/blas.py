"""Who multiplies float32 on this machine: MKL's sgemm where torch brings it, on how many threads, in which mode."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

READERS = ("mkl_serv_cbwr_get", "MKL_CBWR_Get")  # of MKL inside torch's own library, or beside it
mkl: Any = torch.backends.mkl
HAS_MKL = bool(mkl.is_available())
ALL, STRICT = -1, 0x10000  # asks for everything that is set; the bit that MKL_CBWR=…,STRICT sets


@functools.cache
def _library() -> Any:
    """Torch's library with MKL in it, or None: it has none on other processors than Intel's kin, or not on Linux."""
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    return ctypes.CDLL(str(path)) if path.exists() and HAS_MKL else None


def _mkl() -> Any:
    """The library, if MKL's sgemm and its threads can be reached in it, or None."""
    library = _library()
    return library if hasattr(library, "SGEMM") and hasattr(library, "MKL_Set_Num_Threads_Local") else None


def sgemm() -> int:
    """Where MKL's sgemm begins, or 0."""
    library = _mkl()
    return 0 if library is None else ctypes.cast(library.SGEMM, ctypes.c_void_p).value or 0


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Whoever multiplies, BLAS or torch, does so on the calling thread alone: scores depend on no number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def single_threaded() -> Iterator[None]:
    """MKL multiplies on the calling thread alone."""
    library = _mkl()
    before = library.MKL_Set_Num_Threads_Local(1) if library else 0
    try:
        yield
    finally:
        if library:
            library.MKL_Set_Num_Threads_Local(before)


def mkl_mode() -> str:
    """Whether ``MKL_CBWR`` took effect: strict, not strict, off, unknown; or that torch has no MKL.

    MKL reads it at its first product, which may have come before this program was imported.
    """
    if not HAS_MKL:
        return "no MKL"
    library = _library()
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
