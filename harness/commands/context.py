"""How a question is answered: the context that every command's ``run`` is given beside its Config."""

from __future__ import annotations

import inspect
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.commands import provenance
from harness.commands.questions import Distributed, Running
from harness.engines import ENGINES, Engine
from harness.engines.local import cores
from harness.errors import OptionError, Problems
from harness.options import C, Config, options, resolve
from harness.progress import Stages
from harness.records import Manifest
from harness.runs import RunDirectory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RunContext:
    """stages: shows and times what is done; device: as PyTorch names it, resolved; output: the folder of runs."""

    stages: Stages
    engine: Engine
    device: str = "cpu"
    output: Path = Path("runs")
    engine_name: str = "local"

    @property
    def accelerator(self) -> torch.device | None:
        """Where similarities are computed; None stands for the CPU."""
        return accelerator(self.device)

    def claim(self, config: Config, run: RunDirectory) -> AbstractContextManager[bool]:
        """The run's folder for this process; False if its answer is there, see ``provenance.claim``."""
        return provenance.claim(run, getattr(config, "resume", False), getattr(config, "force", False))

    def start(self, run: RunDirectory, config: Config, plugins: Sequence[dict[str, Any]] = ()) -> None:
        """Begin or go on with a run; what another version of the program left in it is not used."""
        provenance.start(run, config, plugins)

    def manifest(
        self,
        config: Config,
        seed: int,
        fingerprints: dict[str, str],
        notes: Sequence[str],
        plugins: Sequence[dict[str, Any]] = (),
        **rest: Any,
    ) -> Manifest:
        """Where a run's numbers come from."""
        from harness.scoring import blas, devices  # which need torch, as reports and lists do not

        host = {
            "machine": platform.machine(),
            "system": platform.platform(),
            "cores": cores(),
            "device": self.device,
            "engine": self.engine_name,
            "product": devices.kind(self.accelerator),
            "mkl_cbwr": blas.mkl_mode(),
        }
        return Manifest(
            command=config.command,
            config=config.plain(),
            seeds={"seed": seed},
            fingerprints=fingerprints,
            seconds=self.stages.seconds,
            core_seconds=self.stages.core_seconds,
            host=host,
            notes=[*notes, *blas.notes()],
            plugins=list(plugins),
            **provenance.program(),
            **rest,
        )


def accelerator(device: str) -> torch.device | None:
    """A device of the command line as torch's; None stands for the CPU."""
    import torch

    return None if device == "cpu" else torch.device(device)


def begin(kind: type[C], arguments: Sequence[Any], given: Mapping[str, Any], progress: bool) -> tuple[C, RunContext]:
    """Everything a command was asked, checked before anything is done. Raises OptionError with all mistakes."""
    problems = Problems()
    results: list[Any] = []
    values = {name: given.get(name) for name in ("device", "engine", "address", "output")}
    for read in (
        lambda: resolve(kind, **named(kind, arguments, given)),
        lambda: pick_device(values["device"] or "auto") if issubclass(kind, Running) else "cpu",
        lambda: make_engine(values["engine"] or "local", values["address"]),
        lambda: check_output(Path(values["output"] or "runs")) if issubclass(kind, Running) else None,
    ):
        with problems:
            results.append(read())
    problems.stop(OptionError)
    config, device, engine, _ = results
    if engine.wide is not None and not issubclass(kind, Distributed):
        raise OptionError(f"harness {kind.command} works on this machine; leave --engine {values['engine']} out")
    if engine.wide is not None and values["device"] not in (None, "auto", "cpu"):
        raise OptionError(f"engine {values['engine']!r} works on CPUs; leave --device {values['device']} out")
    return config, RunContext(
        Stages(progress),
        engine,
        device if engine.wide is None else "cpu",
        Path(values["output"] or "runs"),
        values["engine"] or "local",
    )


def named(kind: type[Config], arguments: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given without a name under its option's name. Raises OptionError if the command takes no such thing."""
    if not arguments:
        return dict(given)
    names = [name for name, one in options(kind).items() if one.argument]
    if not names:
        raise OptionError(f"harness {kind.command} takes its options by name, not {str(arguments[0])[:40]!r}")
    several = next(isinstance(field.default, tuple) for field in fields(kind) if field.name == names[0])
    return {**given, names[0]: list(map(str, arguments)) if several else str(arguments[0])}


def check_output(output: Path) -> None:
    """Raise OptionError if runs cannot be written there; creates nothing."""
    there = output.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OptionError(f"output {str(output)!r} cannot be written: {there} is no folder this user can write to")


def make_engine(name: str, address: str | None) -> Engine:
    """The engine of that name. Raises OptionError if there is none, or if it takes no address and one is given."""
    kind = ENGINES[name]
    if address is None:
        return kind()
    if "address" not in inspect.signature(kind).parameters:
        raise OptionError(f"engine {name!r} has no --address; give --engine ray with it, or leave it out")
    return kind(address=address)


def pick_device(asked: str) -> str:
    """``auto`` is CUDA where there is one. Raises OptionError if the device asked for is not there."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    known = ["cpu", "cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if asked == "cpu" or (asked in known and torch.cuda.is_available()):
        return asked
    raise OptionError(f"device {asked!r} is not on this machine; give --device cpu or leave it out")
