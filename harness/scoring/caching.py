"""Where compiled functions are kept: in a folder that is named by the digest of every source they may be made of.

numba names what it keeps by a function's own file. A function that inlines one of another file, or freezes a constant
of it, would go on running as it was compiled when that other file changed, or numba did.
"""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from harness.files import cache_folder
from harness.scoring import compiled_digest

UNUSED = 24 * 3600.0  # seconds after which the code of other sources is removed: two versions may be used in turn


@functools.cache
def folder() -> Path:
    """This version's folder: in ``$NUMBA_CACHE_DIR`` if that is set, else in the cache folder.

    Where it cannot be written, a folder for this process only.
    """
    place = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder()) / "compiled" / compiled_digest()
    try:
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
        os.utime(place)  # it is in use
    except OSError:
        own = tempfile.mkdtemp(prefix="harness-compiled-")
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        return Path(own)
    discard_unused(place)
    return place


def discard_unused(place: Path) -> None:
    """Remove the folders of other digests beside this one that no process has begun to use for UNUSED seconds.

    One that is still in use is made again: numba compiles what it cannot read.
    """
    for other in place.parent.iterdir():
        if other == place or not re.fullmatch("[0-9a-f]{16}", other.name):
            continue
        with suppress(OSError):  # another process may be removing it too
            if time.time() - other.stat().st_mtime > UNUSED:
                shutil.rmtree(other, ignore_errors=True)
