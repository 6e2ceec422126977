"""The product of a block: MKL's where torch brings it, which is faster on blocks this small, or numba's."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np
import torch
from llvmlite import ir
from numba.core import types
from threadpoolctl import threadpool_limits

from harness.scoring.kernels.base import OPTIONS, lowered

TRANSPOSED, PLAIN = np.uint8(ord("T")), np.uint8(ord("N"))


@functools.cache
def _mkl() -> Any:
    """The library with MKL's sgemm, or None: torch has none on other processors than Intel's kin, or not on Linux."""
    path = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not (path.exists() and torch.backends.mkl.is_available()):
        return None
    library = ctypes.CDLL(str(path))
    return library if hasattr(library, "SGEMM") and hasattr(library, "MKL_Set_Num_Threads_Local") else None


def address() -> int:
    """Where sgemm begins, or 0."""
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


@lowered
def _sgemm(_, place, letters, sizes, scales, a, b, c):
    """Fortran's sgemm at an address; all but the place are addresses too, of what each array holds."""

    def lower(context, builder, signature, arguments):
        byte, whole, number = (kind.as_pointer() for kind in (ir.IntType(8), ir.IntType(32), ir.FloatType()))
        kinds = [byte, byte, whole, whole, whole, number, number, whole, number, whole, number, number, whole]
        function = builder.inttoptr(arguments[0], ir.FunctionType(ir.VoidType(), kinds).as_pointer())
        _, letter, size, scale, first, second, out = arguments

        def at(base, offset, kind):
            return builder.inttoptr(builder.add(base, ir.Constant(base.type, offset)), kind)

        m, n, k, d, ldc = (at(size, 4 * one, whole) for one in range(5))
        builder.call(
            function,
            [
                at(letter, 0, byte),
                at(letter, 1, byte),
                m,
                n,
                k,
                at(scale, 0, number),
                at(first, 0, number),
                d,
                at(second, 0, number),
                d,
                at(scale, 4, number),
                at(out, 0, number),
                ldc,
            ],
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), lower


@nb.njit(inline="always", **OPTIONS)
def multiply(place, block, lanes, sims):
    """sims (p, W) = block (p, d) by lanes (W, d), transposed; place: of address()."""
    if place == 0:
        np.dot(block, lanes.T, sims)
        return
    letters = np.array([TRANSPOSED, PLAIN])
    d = block.shape[1]
    sizes = np.array([lanes.shape[0], block.shape[0], d, d, lanes.shape[0]], np.int32)
    scales = np.array([1.0, 0.0], np.float32)
    _sgemm(
        place,
        letters.ctypes.data,
        sizes.ctypes.data,
        scales.ctypes.data,
        lanes.ctypes.data,
        block.ctypes.data,
        sims.ctypes.data,
    )
