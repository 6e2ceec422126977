"""``python -m validation [NAME…]``: answer the questions named, or all of them, and write reports/validation."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

import validation
from validation.pages import FOLDER

NOT_QUESTIONS = {"__main__", "pages", "readmes", "simulated"}


def questions() -> list[str]:
    """Names of the modules that answer one; each has ``main(folder) -> path of its page``."""
    return [one.name for one in pkgutil.iter_modules(validation.__path__) if one.name not in NOT_QUESTIONS]


def main() -> None:
    known = questions()
    parser = argparse.ArgumentParser(prog="python -m validation", description=validation.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(known)}; all of them if none is named")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the pages")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"no question {', '.join(unknown)}; there are {', '.join(known)}")
    for name in asked.names or known:
        print(importlib.import_module(f"validation.{name}").main(asked.output), flush=True)


if __name__ == "__main__":
    main()
