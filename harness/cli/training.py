"""``synth``, ``train``: encoders trained under a pool."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from harness.cli.app import app
from harness.cli.options import (
    Config,
    Dataset,
    Device,
    Dtype,
    Engine,
    Force,
    Lengths,
    Limit,
    Output,
    Resume,
    Strict,
    ask,
    interruptible,
    option,
)


@app.command(short_help="The study's synthetic experiment: train, grow, attack.")
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
    force: Force = False,
    config: Config = None,
) -> None:
    """The study's synthetic experiment: train under each pool, grow documents, inject patches. Needs no data."""
    question, how = ask("SynthConfig", locals())
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import synth as report

        done = commands.synth(progress=True, **how, **question)
    report.show(done.summary, done.tests, done.manifest, str(done.path), Console())


@app.command(short_help="Fine-tune under a pool; write a checkpoint that others load.")
def train(
    dataset: Dataset = None,
    split: Annotated[str | None, option("Judged split to learn from. [train]")] = None,
    checkpoint: Annotated[str | None, option("Begin from: minilm, a local folder, or a hub id. [minilm]")] = None,
    pool: Annotated[str | None, option("Train under; several give a checkpoint each. [maxsim]")] = None,
    what: Annotated[str | None, option("projection (the backbone is frozen), or encoder. [projection]")] = None,
    dim: Annotated[int | None, option("Dimensions, where the checkpoint has no projection. [128]")] = None,
    start: Annotated[str | None, option("Of a new projection: random, or truncated (the first ones). [random]")] = None,
    seeds: Annotated[int | None, option("Beginnings and orders, from --seed on; a checkpoint each. [1]")] = None,
    epochs: Annotated[int | None, option("Of training; 0 writes the beginning. [20, of an encoder 3]")] = None,
    batch: Annotated[int | None, option("Queries a batch; the others' documents are the negatives. [32]")] = None,
    rate: Annotated[float | None, option("Of Adam. [0.001, of an encoder 0.00001]")] = None,
    temperature: Annotated[float | None, option("Of InfoNCE over scores, which are sums over tokens. [1.0]")] = None,
    length: Annotated[int | None, option("Patches a document is cut to. [256]")] = None,
    query_length: Annotated[int | None, option("Of a query, in tokens. [the checkpoint's, or the dataset's]")] = None,
    expansion: Annotated[str | None, option("Grow queries with: mask, or none. [the checkpoint's, or none]")] = None,
    held_out: Annotated[float | None, option("Share of the queries that chooses the epoch. [0.1]")] = None,
    gallery: Annotated[int | None, option("Documents the held-out queries are ranked against. [1000]")] = None,
    measure: Annotated[str | None, option("That chooses the epoch. [nDCG@10]")] = None,
    format: Annotated[str | None, option("colbert (Stanford's), or pylate. [colbert]")] = None,
    limit: Limit = None,
    seed: Annotated[int | None, option("The first seed. [0]")] = None,
    dtype: Dtype = None,
    device: Device = "auto",
    engine: Engine = "local",
    strict: Strict = False,
    output: Annotated[Path | None, option("The checkpoint's folder. [runs/train-…]")] = None,
    force: Force = False,
    config: Config = None,
) -> None:
    """Fine-tune under a pool with in-batch negatives; write a checkpoint that colbert-ai or PyLate loads."""
    question, how = ask("TrainConfig", locals())
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import training as report

        done = commands.train(progress=True, **how, **question)
    report.show(done.history, done.checkpoints, done.manifests[0], Console())
