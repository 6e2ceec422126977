"""The command line: parse, one pipeline call, print."""

from __future__ import annotations

import sys

from harness.cli import auditing, measuring, reading, training
from harness.cli.app import app
from harness.errors import HarnessError

__all__ = ["app", "auditing", "main", "measuring", "reading", "training"]


def main() -> None:
    """Run the command line. A user's mistake is printed without a traceback and ends with exit code 2."""
    try:
        app()
    except HarnessError as error:
        for problem in error.problems:
            print(f"harness: {problem}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that went away
        print(f"harness: {error}; what is done is kept, and the same command goes on from it", file=sys.stderr)
        sys.exit(1)
