"""The command line: parse, one pipeline call, print."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.errors import HarnessError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What does the pooling operator of a late-interaction retriever cost as documents grow or get attacked?",
)


def option(text: str) -> Any:
    return typer.Option(help=text, show_default=False)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends with one line that says how to go on; what was written is kept."""
    try:
        yield
    except KeyboardInterrupt:
        print("harness: interrupted; what is done is kept, and the same command goes on from it", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command("eval")
def eval_(
    dataset: Annotated[str | None, option("A name from `harness list datasets`, or a BEIR folder. [stdlib]")] = None,
    split: Annotated[str | None, option("Judged split. [the dataset's first]")] = None,
    checkpoint: Annotated[str | None, option("minilm, a local folder, or a hub id. [minilm]")] = None,
    pool: Annotated[
        str | None, option("Aggregators, e.g. maxsim,topk:4,softmax:0.1; the first is the baseline. [maxsim]")
    ] = None,
    lengths: Annotated[str | None, option("Patches a document is cut or grown to. [32,64,128,256]")] = None,
    arms: Annotated[str | None, option("truncate, pad, equalize. [truncate,pad]")] = None,
    evidence: Annotated[int | None, option("Own patches the pad arm keeps. [the shortest length]")] = None,
    fill: Annotated[str | None, option("What filler is: distractor, gaussian, repeat, zero. [distractor]")] = None,
    candidates: Annotated[
        str | None, option("First stage: faiss, pooled, bm25, exact (all documents). [faiss]")
    ] = None,
    index: Annotated[str | None, option("FAISS factory string. [auto: by corpus size]")] = None,
    depth: Annotated[int | None, option("Documents reranked and kept, a query. [100]")] = None,
    measures: Annotated[str | None, option("ir_measures names. [nDCG@10,R@1,R@10]")] = None,
    limit: Annotated[int | None, option("Only the first queries.")] = None,
    seed: Annotated[int | None, option("Of filler and bootstrap. [0]")] = None,
    dtype: Annotated[
        str | None, option("Of the encoder: float32, or bfloat16 (faster where the CPU has it). [float32]")
    ] = None,
    device: Annotated[str, option("auto, cpu or cuda. [auto]")] = "auto",
    engine: Annotated[str, option("Where scoring runs. [local]")] = "local",
    output: Annotated[Path, option("Folder of runs. [runs]")] = Path("runs"),
    resume: Annotated[bool, option("Show a finished run again, or finish one.")] = False,
    config: Annotated[
        Path | None, option("Options from a YAML file, such as a run's config.yaml; the line wins.")
    ] = None,
) -> None:
    """Sweep document lengths: nDCG and recall against length, per pool, with intervals and paired tests."""
    given = {key: value for key, value in locals().items() if value is not None}
    how = {key: given.pop(key) for key in ("device", "engine", "output", "resume")}
    from harness.config import EvalConfig, read_config

    question = (read_config(EvalConfig, given.pop("config")) if config else {}) | given
    from rich.console import Console

    from harness import pipeline
    from harness.reports import tables

    with interruptible():
        done = pipeline.evaluate(progress=True, **how, **question)
    tables.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="datasets, pools, fills, checkpoints or runs; all if left out")] = "all",
    output: Annotated[Path, option("Folder of runs. [runs]")] = Path("runs"),
) -> None:
    """Datasets, pools, fills, checkpoints and runs that can be named."""
    from rich.console import Console

    from harness.reports import listing

    listing.show(what, output, Console())


def main() -> None:
    """Run the command line. A user's mistake is printed without a traceback and ends with exit code 2."""
    try:
        app()
    except HarnessError as error:
        for problem in error.problems:
            print(f"harness: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
