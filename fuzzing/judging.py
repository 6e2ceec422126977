"""One input, one verdict: what the product said, how long it took, and what else it did."""

from __future__ import annotations

import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzzing.mutating import Files, Link
from fuzzing.watching import Watch
from harness.errors import HarnessError
from harness.files import cache_folder
from harness.registry import Registry

SECONDS, HANGS = 10.0, 60  # of processor time an input may take; on the clock, after which it hangs
LETTERS = 1_000  # a line may have


@dataclass(frozen=True)
class Place:
    """Folders of one process: what is given, where the product may write, and where it is run."""

    root: Path

    @property
    def given(self) -> Path:
        return self.root / "given"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def allowed(self) -> list[Path]:
        return [self.output, self.root / "cache", self.root / "temporary"]


@dataclass(frozen=True)
class Target:
    """sound: files that are read without a complaint, several sets of them; attempt: reads what is given.

    listed: the files have fixed names, and only what they hold is hostile.
    """

    sound: Callable[[Place], list[Files]]
    attempt: Callable[[Place], object]
    listed: bool = False


TARGETS: Registry[Target] = Registry("target")


@dataclass(frozen=True)
class Verdict:
    """result: accepted, refused or finding; sign: what findings of one cause share; text: all that is known."""

    result: str
    seconds: float
    sign: str = ""
    text: str = ""


class TooSlow(BaseException):
    """Raised by the alarm; no ``except Exception`` holds it."""


def judge(target: Target, files: Files, place: Place) -> Verdict:
    """Write the files, let the target read them, and judge."""
    lay(files, place)
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    begin, error = time.process_time(), None
    with Watch(place.allowed) as watch:
        try:
            target.attempt(place)
        except BaseException as raised:
            if isinstance(raised, KeyboardInterrupt):
                raise
            error = raised
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - begin
    if watch.found:
        return Verdict("finding", seconds, f"did {watch.found[0].split()[0]}", "\n".join(watch.found[:20]))
    if isinstance(error, TooSlow) or seconds > SECONDS:
        return Verdict("finding", seconds, f"slow {_where(error)}", f"{seconds:.1f} s\n{_told(error)}")
    if error is None:
        return Verdict("accepted", seconds)
    if not isinstance(error, HarnessError):
        return Verdict("finding", seconds, f"{type(error).__name__} {_where(error)}", _told(error))
    if bad := [line for line in error.problems if not line.isprintable() or len(line) > LETTERS]:
        return Verdict("finding", seconds, f"unreadable {_where(error)}", f"{bad[0][:LETTERS]!r}\n{_told(error)}")
    return Verdict("refused", seconds, text=str(error))


def _alarm(*_: object) -> None:
    raise TooSlow


def lay(files: Files, place: Place) -> None:
    """The given folder holds these files and no other; what may be written to is empty."""
    for folder in (place.given, *place.allowed):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name, content in files.items():
        path = place.given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            path.symlink_to(content.target)
        else:
            path.write_bytes(content)


def enter(root: Path) -> Place:
    """Make this process one that is fuzzed: its cache, its temporary files and its working folder are under root."""
    import resource
    import sys
    import tempfile
    import warnings

    place = Place(root)
    (root / "here").mkdir(parents=True)
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder()))  # what is compiled is no input's
    os.environ |= {"HARNESS_CACHE": str(root / "cache"), "HARNESS_DATASETS": str(place.given), "HF_HUB_OFFLINE": "1"}
    os.chdir(root / "here")
    tempfile.tempdir = str(root / "temporary")
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (24 << 30, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    return place


def _told(error: BaseException | None) -> str:
    return "".join(traceback.format_exception(error))[-6_000:] if error else ""


def _where(error: BaseException | None) -> str:
    """The innermost line of the product that an error came through."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    mine = [frame for frame in frames if "/harness/" in frame.filename and "site-packages" not in frame.filename]
    return f"{Path(mine[-1].filename).name}:{mine[-1].lineno}" if mine else "?"
