"""``eval``, ``stress``, ``gradients``: what a pool costs on a dataset with a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from harness.cli.app import app
from harness.cli.options import (
    Address,
    Candidates,
    Checkpoint,
    Config,
    Dataset,
    Depth,
    Device,
    Dtype,
    Engine,
    Force,
    Index,
    Lengths,
    Limit,
    Measures,
    Output,
    Pool,
    Resume,
    Seed,
    Split,
    Strict,
    Trust,
    ask,
    interruptible,
    option,
)


@app.command("eval", short_help="Sweep document lengths: nDCG and recall against length, per pool.")
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
    trust_remote_code: Trust = False,
    strict: Strict = False,
    device: Device = "auto",
    engine: Engine = "local",
    address: Address = None,
    output: Output = Path("runs"),
    resume: Resume = False,
    force: Force = False,
    config: Config = None,
) -> None:
    """Sweep document lengths: nDCG and recall against length, per pool, with intervals and paired tests."""
    question, how = ask("EvalConfig", locals())
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import tables

        done = commands.evaluate(progress=True, **how, **question)
    tables.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command(short_help="Inject patches into irrelevant documents: what each pool keeps.")
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
    trust_remote_code: Trust = False,
    strict: Strict = False,
    device: Device = "auto",
    engine: Engine = "local",
    address: Address = None,
    output: Output = Path("runs"),
    resume: Resume = False,
    force: Force = False,
    config: Config = None,
) -> None:
    """Inject patches into candidates that are not relevant: what each pool keeps, and how much it is hijacked."""
    question, how = ask("StressConfig", locals())
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import stress as report

        done = commands.stress(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())
    if done.explained is not None:
        report.show_explained(done.explained, f"{done.path}/explain-*.svg", Console())


@app.command(short_help="How concentrated each pool's gradient is on a document's patches.")
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
    trust_remote_code: Trust = False,
    strict: Strict = False,
    device: Device = "auto",
    output: Output = Path("runs"),
    resume: Resume = False,
    force: Force = False,
    config: Config = None,
) -> None:
    """How concentrated the gradient of a score is on a relevant document's patches, with paired tests."""
    question, how = ask("GradientsConfig", locals())
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import gradients as report

        done = commands.gradients(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())
