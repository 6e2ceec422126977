"""``audit``: the laws of a correct scorer, against anyone's."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import app
from harness.cli.options import option


@app.command(short_help="A scorer of yours, or of a package: which laws hold, and what breaks the others.")
def audit(
    target: Annotated[str, typer.Argument(help="package.module:function, or one of `harness list scorers`")],
    pool: Annotated[str, option("The operator that the scorer claims to be, e.g. topk:4. [maxsim]")] = "maxsim",
    dim: Annotated[int | None, option("Of all vectors, for a scorer that takes no other. [1 to 128]")] = None,
    format: Annotated[str | None, option("json, for machines. [none: a table]")] = None,
) -> None:
    """Check a late-interaction scorer: which laws hold, and the smallest case found that breaks each of the others.

    A function takes a query (t, d) and a list of documents (p, d), numpy float32, and returns a score a document. Exit
    code 0 if all laws hold, 1 if one does not, 2 if the scorer cannot be loaded.
    """
    import json

    from harness.audit import audit
    from harness.errors import OptionError, unknown

    if format not in (None, "json"):
        raise OptionError(unknown("format", format, ["json"]))
    done = audit(target, pool, dim)
    if format:
        print(json.dumps(done.record(), indent=1))
    else:
        from rich.console import Console

        from harness.reports import audit as report

        report.show(done, Console())
    raise typer.Exit(int(not done.holds))
