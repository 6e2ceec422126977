"""``python -m harness.audit TARGET``: ``harness audit`` in plain text, where rich and click are not installed."""

from __future__ import annotations

import argparse
import json
import sys

from harness.audit import audit
from harness.errors import HarnessError


def main() -> int:
    """0 if all laws hold, 1 if one does not, 2 for a target that cannot be loaded."""
    parser = argparse.ArgumentParser(prog="python -m harness.audit", description=__doc__)
    parser.add_argument("target", help="an adapter's name, or package.module:function")
    parser.add_argument("--pool", default="maxsim", help="the operator the scorer claims to be")
    parser.add_argument("--dim", type=int, help="dimensions, for a scorer that takes no other")
    parser.add_argument("--format", choices=["json"], help="for machines")
    given = parser.parse_args()
    try:
        done = audit(given.target, given.pool, given.dim)
    except HarnessError as error:
        print(*(f"harness: {problem}" for problem in error.problems), sep="\n", file=sys.stderr)
        return 2
    if given.format == "json":
        print(json.dumps(done.record(), indent=1))
    else:
        for one in done.results:
            print(f"{one.law.name:<21}  {one.result:<4}  {one.words}".rstrip())
        print(done.summary)
    return int(not done.holds)


if __name__ == "__main__":
    sys.exit(main())
