"""``harness synth``: train encoders in concept worlds under every pool, and measure what each pool does to them."""

from __future__ import annotations

import functools
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harness.aggregators import AGGREGATORS
from harness.aggregators.base import Aggregator
from harness.commands.context import RunContext
from harness.commands.plugged import plugged
from harness.commands.printed import show as show
from harness.commands.questions import Engined, Resumable
from harness.corpora.synthetic import World
from harness.encoders import concepts
from harness.engines.base import Map
from harness.files import digest, write_atomically
from harness.options import options
from harness.progress import Rows
from harness.records import Manifest
from harness.reports import charts
from harness.reports.figures import figure_one, tradeoff
from harness.runs import RunDirectory
from harness.scoring import devices
from harness.scoring.blas import one_thread_each
from harness.worlds import analysis
from harness.worlds.measuring import by_length, encoded, ginis, under_injection
from harness.worlds.plan import Plan, Trial
from harness.worlds.training import fit
from harness.worlds.vectors import Split, split

TRIAL = ["pool", "seed"]
TABLES = {
    "training": [*TRIAL, "epoch", "loss", "gini", "gini_standard", "recall_train", "recall_heldout", *analysis.UNIT],
    "lengths": [*TRIAL, "split", "length", "recall", *analysis.UNIT],
    "injection": [*TRIAL, "inject", "count", "recall", "retained", "hijack_rate", *analysis.UNIT],
}
SPLITS = {"train": "train", "heldout": "test"}  # as the tables call them, as the world does


@dataclass(frozen=True)
class Study:
    """What ``harness synth`` wrote, as data frames with the files' own columns, and where."""

    path: Path
    training: pd.DataFrame
    lengths: pd.DataFrame
    injection: pd.DataFrame
    summary: pd.DataFrame
    tests: pd.DataFrame
    manifest: Manifest


@dataclass(frozen=True)
class SynthConfig(Plan, Resumable, Engined):
    """``harness synth``."""

    command = "synth"

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        if len(values) < len(options(cls)):
            return
        for support in values["support"]:
            try:
                cls(**values).world(values["seed"], support)
            except ValueError as error:
                yield str(error)
        for name in ("batch", "gallery"):
            if not 2 <= values[name] <= values["queries"] or values["queries"] % values[name]:
                yield f"{name} {values[name]} must be at least 2 and divide queries, {values['queries']}"
        if not values["epochs"]:
            yield "epochs 0 must be at least 1"
        if values["epochs"] % values["every"]:
            yield f"every {values['every']} must divide epochs, {values['epochs']}; give --every 1, say"


CONFIG = SynthConfig


def run(config: SynthConfig, context: RunContext) -> Study:
    """Repeat the study's synthetic experiment, without data: train under each pool, lengthen, attack."""
    config = replace(config, counts=tuple(sorted({0, *config.counts})))  # shares are of no injection
    key = digest(config.plain(), devices.kind(context.accelerator), plugged(config))
    directory = RunDirectory(context.output / f"{config.command}-synthetic-concepts-{key[:8]}")
    with context.claim(config, directory) as new:
        if new:
            compute(config, context, directory)
        manifest = directory.read_manifest()
        tables = {name: directory.read_table(f"{name}.csv", manifest) for name in (*TABLES, "summary", "tests")}
        return Study(directory.path, **tables, manifest=manifest)


def compute(config: SynthConfig, context: RunContext, run: RunDirectory) -> None:
    """Train, measure and write the run."""
    context.start(run, config)
    with context.stages.rows("train and measure", config.epochs) as rows:
        measured_trials = list(trials(config, run, context.device, context.engine, rows))
    with context.stages("summarise"):
        write(run, config, measured_trials)
    notes = [
        f"Recall@1 in galleries of {config.gallery}: a query's own document and its neighbours",
        "held-out queries and documents are the same world's; injection is measured on them",
        *devices.notes(None),
    ]
    run.write_manifest(context.manifest(config, config.seed, {}, notes, plugged(config)))


def trials(
    config: SynthConfig, run: RunDirectory, device: str, engine: Map, rows: Rows
) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """What every trial measured, in order; those that are there are read."""
    stop = threading.Event()
    worlds = functools.lru_cache(maxsize=8)(split)
    one = functools.partial(attempt, config, run, device, worlds, rows, stop)
    try:
        with one_thread_each():  # a trial is one thread's work, so that its numbers depend on no other
            for _, found in engine(one, config.trials()):
                yield found
    finally:
        stop.set()


def attempt(
    config: SynthConfig, run: RunDirectory, device: str, worlds: Any, rows: Rows, stop: threading.Event, trial: Trial
) -> dict[str, list[dict[str, Any]]]:
    """Train and measure one trial, and write its checkpoint; measurements last."""
    folder = run.path / "encoders" / str(trial)
    if (known := measured(folder / "measured.json")) is not None:
        return known
    torch.set_num_threads(1)  # of this thread; trials puts back what is the process's
    rows.begin(str(trial))
    aggregator = AGGREGATORS.make(trial.pool)
    world = config.world(trial.seed, trial.support)
    splits = {name: worlds(world, actual) for name, actual in SPLITS.items()}
    moved = {name: one.to(device) for name, one in splits.items()}
    training: list[dict[str, Any]] = []

    def alive(*_: Any) -> None:
        if stop.is_set():  # Ctrl-C reaches only the main thread
            raise KeyboardInterrupt

    def after(epoch: int, loss: float | None, trained: torch.nn.Sequential) -> None:
        alive()
        if epoch % config.every == 0:
            training.append({"epoch": epoch, "loss": loss, **progress_of(aggregator, trained, moved, trial, config)})
        last = training[-1]
        note = f"Gini {last['gini']:.3f}  R@1 train {last['recall_train']:.3f}  held-out {last['recall_heldout']:.3f}"
        rows.step(str(trial), epoch, note)

    trained = fit(aggregator, moved["train"], trial, config, after)
    rows_by_table = {"training": training, **measure(aggregator, trained, moved, trial, config, alive)}
    named = {name: [{**vars(trial), **row} for row in part] for name, part in rows_by_table.items()}
    concepts.save(folder, trained, description(world, config, trial))
    write_atomically(folder / "measured.json", json.dumps({"digest": digest(named), **named}).encode())
    rows.end(str(trial))
    return named


def measured(path: Path) -> dict[str, list[dict[str, Any]]] | None:
    """What a trial measured, if it is there as it was written; None, and a line, if it is damaged."""
    if not path.exists():
        return None
    with suppress(ValueError, AttributeError):
        written = json.loads(path.read_bytes())
        tables: dict[str, list[dict[str, Any]]] = {name: rows for name, rows in written.items() if name != "digest"}
        if written.get("digest") == digest(tables):
            return tables
    print(f"  {path} is damaged; the trial is run again", file=sys.stderr)
    return None


def description(world: World, config: SynthConfig, trial: Trial) -> dict[str, Any]:
    """What world.json says of a trained encoder."""
    return {"key": world.key, "dim": config.dim, "width": config.width, **vars(trial)}


def progress_of(
    aggregator: Aggregator, trained: torch.nn.Sequential, splits: dict[str, Split], trial: Trial, config: SynthConfig
) -> dict[str, float]:
    """The columns of training.csv that depend on nothing but the encoder."""
    figures: dict[str, float] = {}
    for name, raw in splits.items():
        world = encoded(trained, raw, trial.train_length, config)
        if name == "train":
            figures["gini"], figures["gini_standard"] = ginis(aggregator, world)
        (figures[f"recall_{name}"],) = by_length(aggregator, world, [trial.train_length])
    return figures


def measure(
    aggregator: Aggregator,
    trained: torch.nn.Sequential,
    splits: dict[str, Split],
    trial: Trial,
    config: SynthConfig,
    alive: Callable[..., None],
) -> dict[str, list[dict[str, Any]]]:
    """Rows of lengths.csv and injection.csv."""
    longest = max(config.lengths)
    swept = {
        name: by_length(aggregator, encoded(trained, raw, longest, config), list(config.lengths))
        for name, raw in splits.items()
    }
    lengths = [
        {"split": name, "length": length, "recall": value}
        for name, values in swept.items()
        for length, value in zip(config.lengths, values, strict=True)
    ]
    attacked = encoded(trained, splits["heldout"], trial.train_length, config)
    return {"lengths": lengths, "injection": list(under_injection(aggregator, attacked, trial, config, alive))}


def write(run: RunDirectory, config: SynthConfig, measured_trials: Iterable[dict[str, list[dict[str, Any]]]]) -> None:
    """The tables and charts of all trials."""
    parts = list(measured_trials)
    tables = {
        name: pd.DataFrame([row for part in parts for row in part[name]], columns=columns)
        for name, columns in TABLES.items()
    }
    values = analysis.measured(**tables)
    tables |= {"summary": analysis.summarise(values), "tests": analysis.compare(values, list(config.pool))}
    for name, table in tables.items():
        run.write_table(f"{name}.csv", table)
    summary = run.read_table("summary.csv")
    for name, chart in (("figure1", figure_one(summary)), ("tradeoff", tradeoff(summary))):
        for suffix in ("svg", "png", "html"):
            charts.save(chart, run.path / f"{name}.{suffix}")
