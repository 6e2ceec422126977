"""``harness train``: fine-tune a projection or a whole encoder under each pool; write checkpoints others can load."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from harness import readers
from harness.aggregators import AGGREGATORS
from harness.commands.context import RunContext
from harness.commands.plugged import plugged
from harness.commands.questions import Engined, Forced, Retrieval
from harness.encoders import formats
from harness.errors import DataError, OptionError, Problems
from harness.files import digest
from harness.options import option, read_config
from harness.progress import Rows
from harness.records import Manifest
from harness.reports.formats import terminal
from harness.reports.sections.train import build
from harness.runs import RunDirectory, slug
from harness.scoring import devices
from harness.scoring.blas import one_thread_each
from harness.training import state
from harness.training.examples import batches
from harness.training.loop import Recipe, fit, restore, state_of
from harness.training.material import Material, gather, judge

TABLE = "training.csv"
COLUMNS = ["pool", "seed", "epoch", "loss", "measure", "value"]
EPOCHS = {"projection": 20, "encoder": 3}
RATES = {"projection": 1e-3, "encoder": 1e-5}


@dataclass(frozen=True)
class Training:
    """What ``harness train`` wrote: checkpoints, and every epoch's loss and held-out measure.

    checkpoints: folders; history: pool, seed, epoch, loss, measure, value, and kept (the epoch that was kept).
    """

    checkpoints: list[Path]
    history: pd.DataFrame
    manifests: list[Manifest]


@dataclass(frozen=True)
class TrainConfig(Retrieval, Forced, Engined):
    """``harness train``."""

    command = "train"

    split: str | None = option("train", readers.text, "Which judged split to learn from.")
    checkpoint: str = option(
        "minilm", readers.checkpoint, "Where training starts: minilm, a local folder, or a hub id."
    )
    pool: tuple[str, ...] = option(
        ("maxsim",), readers.each(readers.pool), "Aggregators to train under; each gives a checkpoint."
    )
    seed: int = option(0, readers.whole(0), "The first seed.")
    what: str = option(
        "projection",
        readers.known(("projection", "encoder"), "thing to train"),
        "What is trained: a projection (the backbone is frozen), or the encoder.",
    )
    dim: int | None = option(None, readers.whole(1), "Dimensions, if the checkpoint has no projection.", "128")
    start: str = option(
        "random",
        readers.registered("training.projection:BEGINNINGS", "beginning"),
        "A new projection before training: random, or truncated (the first dimensions).",
    )
    seeds: int = option(1, readers.whole(1), "How many seeds, from --seed on; each gives a checkpoint.")
    epochs: int | None = option(
        None, readers.whole(0), "Epochs of training; 0 writes the untrained checkpoint.", "20, or 3 for an encoder"
    )
    batch: int = option(32, readers.whole(1), "Queries per batch; the others' documents are the negatives.")
    rate: float | None = option(
        None, readers.number(1e-9, 1e3), "Learning rate of Adam.", "0.001, or 0.00001 for an encoder"
    )
    temperature: float = option(
        1.0, readers.number(1e-6, 1e6), "Temperature of InfoNCE over scores, which are sums over tokens."
    )
    length: int = option(256, readers.whole(1, readers.LONGEST), "Patches a document is cut to.")
    query_length: int | None = option(
        None, readers.whole(4), "Tokens of a query.", "the checkpoint's, or the dataset's"
    )
    expansion: str | None = option(
        None,
        readers.known(("mask", "none")),
        "What queries are extended with: mask, or none.",
        "the checkpoint's, or none",
    )
    held_out: float = option(
        0.1, readers.number(0.001, 0.9, "held-out share"), "The share of the queries that chooses the epoch."
    )
    gallery: int = option(1000, readers.whole(1), "Documents the held-out queries are ranked against.")
    measure: str = option("nDCG@10", readers.measure, "The measure that chooses the epoch.")
    format: str = option(
        "colbert",
        readers.registered("encoders.formats:FORMATS"),
        "Format written: colbert (Stanford's), pylate, or sentence-transformers.",
    )
    output: Path | None = option(None, readers.path, "The checkpoint's folder.", "runs/train-…", running=True)

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        yield from super().complete(values, given)
        if values.get("batch") == 1:
            yield "batch 1 has no negatives; give --batch 32, say"


CONFIG = TrainConfig


def run(config: TrainConfig, context: RunContext) -> Training:
    """Fine-tune under a pool with in-batch negatives, and write a checkpoint that colbert-ai or PyLate loads."""
    epochs = EPOCHS[config.what] if config.epochs is None else config.epochs
    config = replace(config, epochs=epochs, rate=config.rate or RATES[config.what])
    folders = places(config, config.output) if config.output else {}
    check(folders)
    material = gather(config, context.device, context.stages)
    if not folders:
        kind = devices.kind(context.accelerator)
        key = digest(config.plain(), material.fingerprints, material.start, kind, plugged(config))
        folders = places(config, Path("runs") / f"train-{slug(config.dataset)}-{slug(config.checkpoint)}-{key[:8]}")
        check(folders)
    if not config.force:
        check_finished(folders, material)
    with context.stages.rows("train", config.epochs or 0) as rows:
        history = list(trainings(config, context, material, folders, rows))
    records = [RunDirectory(folder / "training") for folder in folders]
    return Training(list(folders), pd.concat(history, ignore_index=True), [one.read_manifest() for one in records])


def places(config: TrainConfig, output: Path) -> dict[Path, TrainConfig]:
    """Every checkpoint's folder, and the question that it answers."""
    seeds = range(config.seed, config.seed + config.seeds)
    single = len(config.pool) * config.seeds == 1
    return {
        output if single else output / f"{slug(pool)}-seed{seed}": replace(config, pool=(pool,), seed=seed, seeds=1)
        for pool in config.pool
        for seed in seeds
    }


def check(folders: dict[Path, TrainConfig]) -> None:
    """Raise OptionError naming every folder that holds something else."""
    problems = Problems()
    for folder, config in folders.items():
        if not folder.exists() or not any(folder.iterdir()):
            continue
        record = folder / "training" / "config.yaml"
        if not record.exists():
            problems.add(f"output {str(folder)!r} is not empty, and no checkpoint of harness train; give another")
            continue
        found: dict[str, Any] = {}
        with problems:
            found = read_config(TrainConfig, record)
        other = found and [key for key, value in config.plain().items() if found.get(key) != value]
        if other:
            problems.add(
                f"output {str(folder)!r} holds a training with another {', '.join(other)};"
                " give another --output, or remove it"
            )
    problems.stop(OptionError)


def check_finished(folders: dict[Path, TrainConfig], material: Material) -> None:
    """Raise OptionError naming every folder whose training had other data, another beginning or other plug-ins."""
    problems = Problems()
    for folder, config in folders.items():
        run = RunDirectory(folder / "training")
        if not run.finished:
            continue
        with problems:
            found, now = run.read_manifest(), material.fingerprints
            other = [name for name, value in found.fingerprints.items() if now.get(name) != value]
            other += ["plug-in"] * (found.plugins != plugged(config))
            if other:
                what = f"output {str(folder)!r} holds a training with another {', '.join(other)}"
                problems.add(f"{what}; give another --output, or --force to train again")
    problems.stop(OptionError)


def trainings(
    config: TrainConfig, context: RunContext, material: Material, folders: dict[Path, TrainConfig], rows: Rows
) -> Iterator[pd.DataFrame]:
    """The history of every training. Projections run side by side, a thread each; encoders one after the other."""
    stop = threading.Event()
    train = functools.partial(attempt, material, stop, context, rows)
    try:
        if config.what == "encoder":
            yield from map(train, folders.items())
            return
        with one_thread_each():
            yield from (history for _, history in context.engine(train, folders.items()))
    finally:
        stop.set()


def attempt(
    material: Material, stop: threading.Event, context: RunContext, rows: Rows, item: tuple[Path, TrainConfig]
) -> pd.DataFrame:
    """Train and write one checkpoint, going on from the last epoch that was finished; the history comes last."""
    folder, config = item
    run = RunDirectory(folder / "training")
    with context.claim(config, run) as new:
        return trained(material, stop, context, rows, folder, config, run) if new else run.read_table(TABLE)


def trained(
    material: Material,
    stop: threading.Event,
    context: RunContext,
    rows: Rows,
    folder: Path,
    config: TrainConfig,
    run: RunDirectory,
) -> pd.DataFrame:
    name = f"{config.pool[0]} seed {config.seed}"
    if config.what == "projection":
        torch.set_num_threads(1)  # of this thread; trainings puts back what is the process's
    context.start(run, config, plugged(config))
    rows.begin(name)

    def alive() -> None:
        if stop.is_set():  # Ctrl-C reaches the main thread only
            raise KeyboardInterrupt

    weight = material.beginning(config)
    model = material.model(config, weight)
    step = functools.partial(rows.step, name)
    epochs = learn(model, config, material, run.path / "state", alive, step, context.stages.tell)
    history = pd.DataFrame(epochs, columns=COLUMNS[2:]).assign(pool=config.pool[0], seed=config.seed)[COLUMNS]
    best = history["epoch"].iloc[int(history["value"].argmax())]
    history["kept"] = history["epoch"] == best
    write(folder, config, material, model, weight)
    run.write_table(TABLE, history)
    notes = [*material.notes, f"epoch {best} was kept", *devices.notes(None)]
    context = replace(context, device=material.backbone.device)
    run.write_manifest(context.manifest(config, config.seed, material.fingerprints, notes, plugged(config)))
    run.discard("state")
    rows.end(name)
    return history


def learn(
    model: Any,
    config: TrainConfig,
    material: Material,
    place: Path,
    alive: Callable[[], None],
    step: Callable[[int, str], None],
    tell: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Train to the last epoch and put the best epoch's weights back; rows epoch, loss, measure, value."""
    aggregator = AGGREGATORS.make(config.pool[0])
    recipe = Recipe(config.epochs or 0, config.batch, config.rate or 0.0, config.temperature, config.seed)
    optimizer = torch.optim.Adam(model.parameters, recipe.rate)
    epochs: list[dict[str, Any]] = []

    def judged(epoch: int, loss: float | None) -> None:
        alive()
        value = judge(model, aggregator, material, config.measure, alive)
        epochs.append({"epoch": epoch, "loss": loss, "measure": config.measure, "value": value})
        if value > max((row["value"] for row in epochs[:-1]), default=-1.0):
            state.save(place / "best.safetensors", state_of(model, optimizer), epochs)
        state.save(place / "last.safetensors", state_of(model, optimizer), epochs)
        told = "" if loss is None else f"loss {loss:.3f}  "
        step(epoch, f"{told}{config.measure} {value:.4f}  best {max(row['value'] for row in epochs):.4f}")

    if state.read(place / "best.safetensors", tell) and (begun := state.read(place / "last.safetensors", tell)):
        epochs += begun[1]
        restore(model, optimizer, begun[0])
    else:
        model.eval()
        judged(0, None)
    drawn = functools.partial(batches, material.judged, material.learned, recipe.batch, recipe.seed)
    for epoch, losses in fit(model, aggregator, drawn, recipe, optimizer, epochs[-1]["epoch"]):
        judged(epoch, float(np.mean(losses.tolist())))
    best = state.read(place / "best.safetensors", tell)
    if best is None:
        raise DataError(f"{place} was damaged while it was used; the same command trains again")
    restore(model, optimizer, best[0])
    return epochs


def write(folder: Path, config: TrainConfig, material: Material, model: Any, weight: Any) -> None:
    """The trained checkpoint, in the format that was asked for."""
    frozen = config.what == "projection"
    made = model.checkpoint.model if not frozen else formats.model_of(material.origin, weight)
    if frozen:
        made.linear.weight.data.copy_(model.weight.detach().cpu())
    metadata = {**material.origin.metadata, "frozen_backbone": frozen}
    formats.write(config.format, folder, made, metadata, config.length)


def show(training: Training, config: TrainConfig, console: Console) -> int:
    """Print every checkpoint's held-out measure, before training and at the epoch that was kept."""
    terminal.show(build(training.history, training.checkpoints, training.manifests[0]), console)
    return 0
