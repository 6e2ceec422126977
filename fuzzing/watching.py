"""What the product does to the machine while it is watched, as Python's own audit events tell it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.files import cache_folder

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {  # event → positions of (path, the folder it is relative to, as a descriptor)
    "os.chmod": [(0, 2)],
    "os.chown": [(0, 3)],
    "os.link": [(1, 3)],
    "os.mkdir": [(0, 2)],
    "os.remove": [(0, 1)],
    "os.rename": [(0, 2), (1, 3)],
    "os.rmdir": [(0, 1)],
    "os.symlink": [(1, 2)],
    "os.truncate": [(0, None)],
    "os.utime": [(0, 3)],
}
NEVER = (
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.startfile",
    "socket.connect",
    "socket.getaddrinfo",
    "urllib.Request",
)
CODE = "__pycache__"  # compiled code, which Python keeps beside the source; of numba's, see harness.scoring.caching
_watching: list[Watch] = []


class Watch:
    """Between enter and exit: changes outside of the allowed folders, pickles, programs and connections, of any thread.

    found: a line each. A hook cannot be taken out again, so one serves all watches. Writes of native code are unseen.
    """

    def __init__(self, allowed: Iterable[Path]):
        code = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder()) / "compiled"
        self.allowed = [os.path.realpath(folder) for folder in (*allowed, code)]
        self.found: list[str] = []

    def __enter__(self) -> Watch:
        if not getattr(sys, "_fuzzing_hook", False):
            sys.addaudithook(_hook)
            sys._fuzzing_hook = True  # type: ignore[attr-defined]
        _watching.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watching.remove(self)

    def see(self, event: str, arguments: tuple) -> None:
        if event in NEVER:
            self.found.append(f"{event} {str(arguments)[:200]}")
        elif event == "open":
            path, mode, flags = arguments
            if isinstance(path, int) or not ((flags or 0) & WRITES or set(mode or "") & set("wax+")):
                return
            self._change(event, path, -1)
        else:
            for at, folder in CHANGES.get(event, ()):
                self._change(event, arguments[at], -1 if folder is None else arguments[folder])

    def _change(self, event: str, path: Any, descriptor: int) -> None:
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        if descriptor not in (-1, None):
            name = os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), name)  # noqa: PTH115, PTH118
        folder, last = os.path.split(os.path.abspath(name))  # noqa: PTH100
        real = os.path.join(os.path.realpath(folder), last)  # noqa: PTH118
        if event == "open":
            real = os.path.realpath(real)
        if CODE in Path(real).parts:
            return
        if not any(real == one or real.startswith(one + os.sep) for one in self.allowed) and real != os.devnull:
            self.found.append(f"{event} {real[:300]}")


def _hook(event: str, arguments: tuple) -> None:
    for watch in _watching:
        watch.see(event, arguments)
