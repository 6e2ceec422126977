"""``inspect``: what a dataset holds, the first thing to run on a new folder."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.app import app
from harness.cli.options import Split, Strict, interruptible, option


@app.command("inspect", short_help="What was read of a dataset: layout, files, counts, lengths, notes, rows.")
def inspect_(
    dataset: Annotated[str, typer.Argument(help="A name, a folder, or owner/name[@revision] of the hub.")],
    split: Split = None,
    checkpoint: Annotated[str, option("Whose tokens are counted; none for words only. [minilm]")] = "minilm",
    strict: Strict = False,
    format: Annotated[str | None, option("json, for machines. [none: text]")] = None,
) -> None:
    """What was read of a dataset: layout, files, counts, lengths in words and tokens, duplicates, notes, first rows."""
    import json

    from harness.errors import OptionError, unknown

    if format not in (None, "json"):
        raise OptionError(unknown("format", format, ["json"]))
    with interruptible():
        from rich.console import Console

        from harness.commands.inspect import inspect
        from harness.reports import inspection

        found = inspect(dataset, split=split, checkpoint=checkpoint, strict=strict, progress=True)
    if format:
        print(json.dumps(found.record(), ensure_ascii=False, indent=1))
    else:
        inspection.show(found, Console())
