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
    """An option whose help names its default in brackets, which typer would take for markup."""
    return typer.Option(help=text.replace("[", "\\["), show_default=False)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends with one line that says how to go on; what was written is kept."""
    try:
        yield
    except KeyboardInterrupt:
        print("harness: interrupted; what is done is kept, and the same command goes on from it", file=sys.stderr)
        raise typer.Exit(130) from None


def ask(kind: str, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split a command's options into the question, over what a config file says, and how it is to be answered."""
    from harness import config

    given = {key: value for key, value in options.items() if value is not None}
    file = given.pop("config", None)
    how: dict[str, Any] = {
        key: given.pop(key) for key in ("device", "engine", "output", "resume", "explain") if key in given
    }
    return (config.read_config(getattr(config, kind), file) if file else {}) | given, how


Dataset = Annotated[str | None, option("A name from `harness list datasets`, or a BEIR folder. [stdlib]")]
Split = Annotated[str | None, option("Judged split. [the dataset's first]")]
Checkpoint = Annotated[str | None, option("minilm, a local folder, a hub id, or embeddings:FOLDER. [minilm]")]
Pool = Annotated[str | None, option("Aggregators, e.g. maxsim,topk:4,softmax:0.1; the first is the baseline. [maxsim]")]
Lengths = Annotated[str | None, option("Patches a document is cut or grown to. [32,64,128,256]")]
Candidates = Annotated[str | None, option("First stage: faiss, pooled, bm25, exact (all documents). [faiss]")]
Index = Annotated[str | None, option("FAISS factory string. [auto: by corpus size]")]
Depth = Annotated[int | None, option("Documents reranked and kept, a query. [100]")]
Measures = Annotated[str | None, option("ir_measures names. [nDCG@10,R@1,R@10]")]
Limit = Annotated[int | None, option("Only the first queries.")]
Seed = Annotated[int | None, option("Of everything random. [0]")]
Dtype = Annotated[str | None, option("Of the encoder: float32, or bfloat16, faster where the CPU has it. [float32]")]
Device = Annotated[str, option("auto, cpu or cuda. [auto]")]
Engine = Annotated[str, option("Where scoring runs. [local]")]
Output = Annotated[Path, option("Folder of runs. [runs]")]
Resume = Annotated[bool, option("Show a finished run again, or finish one.")]
Config = Annotated[Path | None, option("Options from a YAML file, such as a run's config.yaml; the line wins.")]


@app.command("eval")
def eval_(
    dataset: Dataset = None,
    split: Split = None,
    checkpoint: Checkpoint = None,
    pool: Pool = None,
    lengths: Lengths = None,
    arms: Annotated[str | None, option("truncate, pad, equalize. [truncate,pad]")] = None,
    evidence: Annotated[int | None, option("Own patches the pad arm keeps. [the shortest length]")] = None,
    fill: Annotated[str | None, option("What filler is: distractor, gaussian, repeat, zero. [distractor]")] = None,
    candidates: Candidates = None,
    index: Index = None,
    depth: Depth = None,
    measures: Measures = None,
    limit: Limit = None,
    seed: Seed = None,
    dtype: Dtype = None,
    device: Device = "auto",
    engine: Engine = "local",
    output: Output = Path("runs"),
    resume: Resume = False,
    config: Config = None,
) -> None:
    """Sweep document lengths: nDCG and recall against length, per pool, with intervals and paired tests."""
    question, how = ask("EvalConfig", locals())
    from rich.console import Console

    from harness import pipeline
    from harness.reports import tables

    with interruptible():
        done = pipeline.evaluate(progress=True, **how, **question)
    tables.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command()
def stress(
    dataset: Dataset = None,
    split: Split = None,
    checkpoint: Checkpoint = None,
    pool: Pool = None,
    inject: Annotated[str | None, option("hard, spike, gaussian. [all three]")] = None,
    counts: Annotated[str | None, option("Injected patches a document. [0,25,50,100,200,400]")] = None,
    cosine: Annotated[float | None, option("Of a hard patch to the token it is aimed at. [0.6]")] = None,
    tokens: Annotated[int | None, option("Query tokens a spike mixes. [4]")] = None,
    candidates: Candidates = None,
    index: Index = None,
    depth: Depth = None,
    measures: Measures = None,
    limit: Limit = None,
    seed: Seed = None,
    dtype: Dtype = None,
    explain: Annotated[str | None, option("A query's id: write its winning patches, before and after.")] = None,
    device: Device = "auto",
    engine: Engine = "local",
    output: Output = Path("runs"),
    resume: Resume = False,
    config: Config = None,
) -> None:
    """Inject patches into candidates that are not relevant: what each pool keeps, and how much it is hijacked."""
    question, how = ask("StressConfig", locals())
    from rich.console import Console

    from harness import pipeline
    from harness.reports import stress as report

    with interruptible():
        done = pipeline.stress(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())
    if done.explained is not None:
        report.show_explained(done.explained, f"{done.path}/explain-*.svg", Console())


@app.command()
def gradients(
    dataset: Dataset = None,
    split: Split = None,
    checkpoint: Checkpoint = None,
    pool: Pool = None,
    lengths: Annotated[str | None, option("Patches a document is cut to. [64,128,256,512]")] = None,
    pairs: Annotated[int | None, option("Pairs of a query and a relevant document. [160]")] = None,
    limit: Limit = None,
    seed: Seed = None,
    dtype: Dtype = None,
    device: Device = "auto",
    output: Output = Path("runs"),
    resume: Resume = False,
    config: Config = None,
) -> None:
    """How concentrated the gradient of a score is on a relevant document's patches, with paired tests."""
    question, how = ask("GradientsConfig", locals())
    from rich.console import Console

    from harness import pipeline
    from harness.reports import gradients as report

    with interruptible():
        done = pipeline.gradients(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command()
def compare(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Finished runs of one command; or give --checkpoint.")
    ] = None,
    checkpoint: Annotated[str | None, option("Two or more, e.g. a,b: their cells are computed first.")] = None,
    baseline: Annotated[str | None, option("The run or checkpoint the others are compared with. [the first]")] = None,
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
    device: Device = "auto",
    engine: Engine = "local",
    output: Output = Path("runs"),
    config: Config = None,
) -> None:
    """Finished runs, or checkpoints, against a baseline: differences, intervals, tests, winners and losers."""
    given = {key: value for key, value in locals().items() if key not in ("runs", "checkpoint", "baseline")}
    question, how = ask("EvalConfig", given)
    written = question.pop("checkpoint", None)  # a config file may hold one
    from rich.console import Console

    from harness import pipeline
    from harness.reports import comparison as report

    with interruptible():
        done = pipeline.compare(
            *(runs or []), checkpoint=checkpoint or written, baseline=baseline, progress=True, **how, **question
        )
    report.show(done.summary, done.tests, done.queries, done.manifest, str(done.path), Console())


@app.command()
def synth(
    pool: Annotated[
        str | None, option("Pools to train under; the first is the baseline. [maxsim,topk:4,softmax:1.0]")
    ] = None,
    seeds: Annotated[int | None, option("Worlds and beginnings, from --seed on. [5]")] = None,
    epochs: Annotated[int | None, option("Of training. [100]")] = None,
    every: Annotated[int | None, option("Epochs between measurements. [5]")] = None,
    lengths: Lengths = None,
    inject: Annotated[str | None, option("hard, spike, gaussian. [all three]")] = None,
    counts: Annotated[str | None, option("Injected patches a document. [0,25,50,100,200,400]")] = None,
    cosine: Annotated[float | None, option("Of a hard patch to the token it is aimed at. [0.6]")] = None,
    train_length: Annotated[str | None, option("Patches M of a training document; several are a grid. [64]")] = None,
    support: Annotated[str | None, option("Patches K that carry query concepts; several are a grid. [8]")] = None,
    queries: Annotated[int | None, option("Of the training set, and held out. [512]")] = None,
    gallery: Annotated[int | None, option("Documents a query is ranked against, its own among them. [64]")] = None,
    batch: Annotated[int | None, option("Queries a batch. [64]")] = None,
    negatives: Annotated[int | None, option("Hard negatives a query brings to batch and gallery, 0 or 1. [0]")] = None,
    rate: Annotated[float | None, option("Of Adam. [0.001]")] = None,
    temperature: Annotated[float | None, option("Of InfoNCE over scores, which are sums over tokens. [1.0]")] = None,
    width: Annotated[int | None, option("Hidden units a layer. [64]")] = None,
    concepts: Annotated[int | None, option("In the dictionary. [100]")] = None,
    dim: Annotated[int | None, option("Dimensions. [16]")] = None,
    tokens: Annotated[int | None, option("Of a query, T. [16]")] = None,
    shared: Annotated[int | None, option("Query concepts a hard negative shares. [4]")] = None,
    mixed: Annotated[int | None, option("Query concepts a spike mixes. [4]")] = None,
    noise: Annotated[float | None, option("Of each coordinate. [0.1]")] = None,
    seed: Annotated[int | None, option("The first seed. [0]")] = None,
    device: Device = "auto",
    engine: Engine = "local",
    output: Output = Path("runs"),
    resume: Resume = False,
    config: Config = None,
) -> None:
    """The study's synthetic experiment: train under each pool, grow documents, inject patches. Needs no data."""
    question, how = ask("SynthConfig", locals())
    from rich.console import Console

    from harness import pipeline
    from harness.reports import synth as report

    with interruptible():
        done = pipeline.synth(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command()
def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Folders of finished runs, of any command.")] = None,
    format: Annotated[str | None, option("md, latex, csv, html, svg, png, mteb, ranx. [none: print tables]")] = None,
    output: Annotated[Path | None, option("Folder of the report. [reports/, then the first run's name]")] = None,
) -> None:
    """Finished runs as tables in the terminal, or as files: Markdown, LaTeX, a page, charts, MTEB and ranx."""
    from rich.console import Console

    from harness.pipeline import report as write
    from harness.reports import terminal

    terminal.show(write(*(runs or []), format=format, output=output, progress=True), Console())


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
    except OSError as error:  # a full disk, a folder that went away
        print(f"harness: {error}; what is done is kept, and the same command goes on from it", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
