"""The command line: parse, one pipeline call, print."""

from __future__ import annotations

import os
import sys
import threading

from harness.cli import auditing, inspecting, measuring, planning, reading, training
from harness.cli.app import app
from harness.cli.options import kept
from harness.errors import HarnessError

THREADS = "engine"  # how the names of an engine's threads begin
__all__ = ["app", "auditing", "inspecting", "main", "measuring", "planning", "reading", "training"]


def main() -> None:
    """Run the command line. A user's mistake is printed without a traceback and ends with exit code 2."""
    try:
        app()
    except HarnessError as error:
        for problem in error.problems:
            print(f"harness: {problem}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that went away
        print(f"harness: {error}; {kept()}", file=sys.stderr)
        leave(1)
    except SystemExit as end:
        leave(end.code)


def leave(code: int | str | None) -> None:
    """End the process; not waiting, as Python would, for what threads of an engine are still at."""
    if code and any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
    sys.exit(code)
