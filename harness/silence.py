"""What libraries in other languages print is kept off the command's own output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def silent(output: int = 1) -> Iterator[None]:
    """Nothing that C++ prints reaches standard output, or error (2)."""
    kept, nowhere = os.dup(output), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, output)
    try:
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, output)
        os.close(kept)
        os.close(nowhere)
