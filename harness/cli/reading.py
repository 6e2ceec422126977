"""``compare``, ``report``, ``list``: runs and checkpoints there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.app import app
from harness.cli.options import (
    Address,
    Candidates,
    Config,
    Dataset,
    Depth,
    Device,
    Dtype,
    Engine,
    Force,
    Lengths,
    Limit,
    Measures,
    Output,
    Pool,
    Seed,
    Split,
    Strict,
    Trust,
    ask,
    interruptible,
    option,
)

OWN = ("runs", "checkpoint", "baseline", "average_seeds")  # what compare is asked besides what eval is


@app.command(short_help="Runs or checkpoints against a baseline: differences and tests.")
def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Finished runs of one command; or give --checkpoint.")
    ] = None,
    checkpoint: Annotated[str | None, option("Two or more, e.g. a,b: their cells are computed first.")] = None,
    baseline: Annotated[str | None, option("The run or checkpoint the others are compared with. [the first]")] = None,
    average_seeds: Annotated[bool, option("Runs named …-seed0, …-seed1 count as one.", "--average-seeds")] = False,
    dataset: Dataset = None,
    split: Split = None,
    pool: Pool = None,
    lengths: Lengths = None,
    arms: Annotated[str | None, option("truncate, pad, equalize. [truncate,pad]")] = None,
    candidates: Candidates = None,
    depth: Depth = None,
    measures: Measures = None,
    limit: Limit = None,
    seed: Seed = None,
    dtype: Dtype = None,
    trust_remote_code: Trust = False,
    strict: Strict = False,
    device: Device = "auto",
    engine: Engine = "local",
    address: Address = None,
    output: Output = Path("runs"),
    force: Force = False,
    config: Config = None,
) -> None:
    """Finished runs, or checkpoints, against a baseline: differences, intervals, tests, winners and losers."""
    given = {key: value for key, value in locals().items() if key not in OWN}
    question, how = ask("EvalConfig", given)
    written = question.pop("checkpoint", None)  # a config file may hold one
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import comparison as report

        how |= {"baseline": baseline, "average_seeds": average_seeds, "progress": True}
        done = commands.compare(*(runs or []), checkpoint=checkpoint or written, **how, **question)
    report.show(done.summary, done.tests, done.queries, done.manifest, str(done.path), Console())


@app.command(short_help="Finished runs as tables, charts and a page.")
def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of finished runs, of any command.")] = None,
    format: Annotated[str | None, option("md, latex, csv, html, svg, png, mteb, ranx. [none: print tables]")] = None,
    output: Annotated[Path | None, option("Folder of the report. [reports/, then the first run's name]")] = None,
    no_texts: Annotated[
        bool, option("Leave out the corpus's texts and tokens, to publish the rest.", "--no-texts")
    ] = False,
) -> None:
    """Finished runs as tables in the terminal, or as files: Markdown, LaTeX, a page, charts, MTEB and ranx."""
    with interruptible():
        from rich.console import Console

        from harness.commands import report as write
        from harness.reports import terminal

        done = write(*(runs or []), format=format, output=output, texts=not no_texts, progress=True)
    terminal.show(done, Console())


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="datasets, pools, fills, checkpoints, scorers or runs; all if left out")
    ] = "all",
    output: Annotated[Path, option("Folder of runs. [runs]")] = Path("runs"),
) -> None:
    """Datasets, pools, fills, checkpoints, scorers and runs that can be named."""
    from rich.console import Console

    from harness.reports import listing

    listing.show(what, output, Console())
