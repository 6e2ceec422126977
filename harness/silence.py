"""What libraries in other languages print is kept off the command's own output."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_silenced: dict[int, tuple[int, int]] = {}
"""Standard output or error → how many blocks silence it now, and where it went before the first of them."""


@contextlib.contextmanager
def silent(output: int = 1) -> Iterator[None]:
    """Nothing that C++ prints reaches standard output, or error (2), while any thread is in such a block."""
    with _lock:
        blocks, before = _silenced.get(output, (0, -1))
        if not blocks:
            sys.stdout.flush()
            before, nowhere = os.dup(output), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, output)
            os.close(nowhere)
        _silenced[output] = blocks + 1, before
    try:
        yield
    finally:
        with _lock:
            blocks, before = _silenced[output]
            _silenced[output] = blocks - 1, before
            if blocks == 1:
                ctypes.CDLL(None).fflush(None)
                os.dup2(before, output)
                os.close(before)
