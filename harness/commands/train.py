"""``harness train``: fine-tune a projection or a whole encoder under each pool; write checkpoints others can load."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harness.aggregators import AGGREGATORS
from harness.commands.material import Material, gather, judge
from harness.commands.plugged import plugged
from harness.commands.prepare import accelerator, begin, provenance
from harness.commands.provenance import alone, start
from harness.config import TrainConfig, read_config
from harness.encoders import formats
from harness.engines.base import Map
from harness.errors import DataError, OptionError, Problems
from harness.files import digest, sealed, unsealed
from harness.progress import Rows, Stages
from harness.records import Manifest
from harness.runs import RunDirectory, slug
from harness.scoring import product
from harness.scoring.gemm import one_thread_each
from harness.training.loop import Recipe, fit, restore, state_of

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


def train(
    *,
    device: str = "auto",
    engine: str = "local",
    output: str | Path | None = None,
    force: bool = False,
    progress: bool = False,
    strict: bool = False,
    **question: Any,
) -> Training:
    """Fine-tune under every pool with every seed; write a checkpoint each. What is trained already is kept.

    question: the options of ``harness train`` (see ``harness.config.TrainConfig``); output: the checkpoint's folder,
    or with several pools or seeds the folder of ``<pool>-seed<number>``; force: train again what is trained already.
    Raises HarnessError with every mistake found.
    """
    config, device, work = begin(TrainConfig, question, device, engine, output or "runs")
    epochs = EPOCHS[config.what] if config.epochs is None else config.epochs
    config = replace(config, epochs=epochs, rate=config.rate or RATES[config.what])
    stages = Stages(progress)
    folders = None if output is None else places(config, Path(output))
    if folders:
        check(folders)
    material = gather(config, device, stages, strict)
    if folders is None:
        kind = product.kind(accelerator(device))
        key = digest(config.plain(), material.fingerprints, material.start, kind, plugged(config))
        folders = places(config, Path("runs") / f"train-{slug(config.dataset)}-{slug(config.checkpoint)}-{key[:8]}")
        check(folders)
    if not force:
        check_finished(folders, material)
    with stages.rows("train", config.epochs or 0) as rows:
        history = list(trainings(config, material, folders, engine, work, stages, rows, force))
    records = [RunDirectory(folder / "training") for folder in folders]
    return Training(list(folders), pd.concat(history, ignore_index=True), [one.read_manifest() for one in records])


def places(config: TrainConfig, output: Path) -> dict[Path, TrainConfig]:
    """Every checkpoint's folder, and the question it alone answers."""
    seeds = range(config.seed, config.seed + config.seeds)
    alone = len(config.pool) * config.seeds == 1
    return {output if alone else output / f"{slug(pool)}-seed{seed}": replace(config, pool=(pool,), seed=seed, seeds=1)
            for pool in config.pool for seed in seeds}  # fmt: skip


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
            problems.add(f"output {str(folder)!r} holds a training with another {', '.join(other)};"
                         " give another --output, or remove it")  # fmt: skip
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
                problems.add(f"output {str(folder)!r} holds a training with another {', '.join(other)};"
                             " give another --output, or --force to train again")  # fmt: skip
    problems.stop(OptionError)


def trainings(
    config: TrainConfig, material: Material, folders: dict[Path, TrainConfig], engine: str, work: Map, stages: Stages,
    rows: Rows, force: bool,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """The history of every training. Projections run side by side, a thread each; encoders one after the other."""
    stop = threading.Event()
    one = functools.partial(attempt, material, stop, stages, engine, rows, force)
    try:
        if config.what == "encoder":
            yield from map(one, folders.items())
            return
        with one_thread_each():
            yield from (history for _, history in work(one, folders.items()))
    finally:
        stop.set()


def attempt(
    material: Material, stop: threading.Event, stages: Stages, engine: str, rows: Rows, force: bool,
    item: tuple[Path, TrainConfig],
) -> pd.DataFrame:  # fmt: skip
    """Train and write one checkpoint, going on from the last epoch that was finished; the history comes last."""
    folder, config = item
    run = RunDirectory(folder / "training")
    with alone(run, force=force) as mine:
        return trained(material, stop, stages, engine, rows, folder, config, run) if mine else run.read_table(TABLE)


def trained(
    material: Material, stop: threading.Event, stages: Stages, engine: str, rows: Rows, folder: Path,
    config: TrainConfig, run: RunDirectory,
) -> pd.DataFrame:  # fmt: skip
    name = f"{config.pool[0]} seed {config.seed}"
    if config.what == "projection":
        torch.set_num_threads(1)  # of this thread; trainings puts back what is the process's
    start(run, config, plugged(config))
    rows.begin(name)

    def alive() -> None:
        if stop.is_set():  # Ctrl-C reaches the main thread alone
            raise KeyboardInterrupt

    weight = material.beginning(config)
    model = material.model(config, weight)
    epochs = learn(model, config, material, run.path / "state", alive, functools.partial(rows.step, name),
                   stages.tell)  # fmt: skip
    history = pd.DataFrame(epochs, columns=COLUMNS[2:]).assign(pool=config.pool[0], seed=config.seed)[COLUMNS]
    best = history["epoch"].iloc[int(history["value"].argmax())]
    history["kept"] = history["epoch"] == best
    write(folder, config, material, model, weight)
    run.write_table(TABLE, history)
    notes = [*material.notes, f"epoch {best} was kept"]
    run.write_manifest(provenance(config, config.seed, material.fingerprints, material.backbone.device, stages, engine,
                                  notes, plugins=plugged(config)))  # fmt: skip
    run.discard("state")
    rows.end(name)
    return history


def learn(
    model: Any, config: TrainConfig, material: Material, state: Path, alive: Callable[[], None],
    step: Callable[[int, str], None], tell: Callable[[str], None],
) -> list[dict[str, Any]]:  # fmt: skip
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
            save(state / "best.safetensors", state_of(model, optimizer), epochs)
        save(state / "last.safetensors", state_of(model, optimizer), epochs)
        told = "" if loss is None else f"loss {loss:.3f}  "
        step(epoch, f"{told}{config.measure} {value:.4f}  best {max(row['value'] for row in epochs):.4f}")

    if read(state / "best.safetensors", tell) and (begun := read(state / "last.safetensors", tell)):
        epochs += begun[1]
        restore(model, optimizer, begun[0])
    else:
        model.eval()
        judged(0, None)
    for epoch, loss in fit(
        model, aggregator, material.judged, material.learned, recipe, optimizer, epochs[-1]["epoch"]
    ):
        judged(epoch, loss)
    best = read(state / "best.safetensors", tell)
    if best is None:
        raise DataError(f"{state} was damaged while it was used; the same command trains again")
    restore(model, optimizer, best[0])
    return epochs


def save(path: Path, state: dict[str, torch.Tensor], epochs: list[dict[str, Any]]) -> None:
    """A training's state with the history up to it, in one file: it is there, whole, or it is not."""
    from safetensors.torch import save as serialise

    with sealed(path) as write:
        write(serialise(state, {"epochs": json.dumps(epochs)}))


def read(path: Path, tell: Callable[[str], None]) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]] | None:
    """(state, history up to it) of a file; None if it is not there or, which is told, damaged."""
    from safetensors.torch import load

    if not path.exists():
        return None
    if (content := unsealed(path)) is None:
        tell(f"{path} is damaged; this training begins anew")
        return None
    size = int.from_bytes(content[:8], "little")
    return load(content), json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["epochs"])


def write(folder: Path, config: TrainConfig, material: Material, model: Any, weight: Any) -> None:
    """The trained checkpoint, in the format that was asked for."""
    frozen = config.what == "projection"
    made = model.checkpoint.model if not frozen else formats.model_of(material.origin, weight)
    if frozen:
        made.linear.weight.data.copy_(model.weight.detach().cpu())
    about = {**material.origin.about, "frozen_backbone": frozen}
    formats.write(config.format, folder, made, about, config.length)
