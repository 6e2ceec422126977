"""What the commands share: from a question to vectors and candidates, and where the numbers come from."""

from __future__ import annotations

import inspect
import platform
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import candidates, corpora, encoders, metrics, store
from harness.config import Q, Question, Reranking, Retrieval, resolve
from harness.engines import ENGINES, Engine
from harness.engines.local import cores
from harness.errors import OptionError, Problems
from harness.files import cache_folder, check_output, digest, lock
from harness.progress import Stages
from harness.records import Candidates, Dataset, Manifest, MultiVectors
from harness.runs import RunDirectory, slug

if TYPE_CHECKING:
    import torch

PACKAGES = ("harness", "torch", "triton", "transformers", "numpy", "numba", "faiss-cpu", "faiss-gpu-cu12",
            "ir-measures", "bm25s", "colpali-engine", "peft", "pillow")  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """What a question comes down to before anything is scored."""

    dataset: Dataset
    documents: MultiVectors
    queries: MultiVectors
    encoder: encoders.Encoder
    device: str
    notes: list[str]

    @property
    def accelerator(self) -> torch.device | None:
        """Where similarities are computed, if not on the CPU."""
        import torch

        return None if self.device == "cpu" else torch.device(self.device)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {
            "dataset": self.dataset.fingerprint,
            "documents": self.documents.fingerprint,
            "queries": self.queries.fingerprint,
        }


def prepare(
    config: Retrieval, device: str, stages: Stages, engine: Engine, trust: bool = False, strict: bool = False
) -> Inputs:
    """Dataset and the vectors of its documents and queries, from the cache where they are there.

    trust: run code that the checkpoint brings; strict: what is untidy in the dataset is an error.
    """
    with stages("load dataset"):
        dataset = corpora.load(config.dataset, config.split, config.limit, strict)
    with stages("load checkpoint"):
        encoder = encoders.load(config.checkpoint, config.dtype, device, trust)
    encoders.accept(encoder, dataset.documents)
    documents = store.fetch(encoder, dataset.documents, "document", stages, engine=engine.wide)
    queries = store.fetch(encoder, dataset.queries, "query", stages, engine=engine.wide)
    counts = documents.counts
    whole = [name for name in getattr(config, "measures", ()) if metrics.cutoff(name) is None]
    notes = [f"{', '.join(whole)} see the first {config.depth:,} documents a query"] if whole else []  # type: ignore[attr-defined]
    dtype = encoder.recipe("document").get("dtype")
    computed = f"computed in {dtype}, " if dtype else ""
    notes += ["the checkpoint's own code was run"] if getattr(encoder, "code", []) else []
    notes += [*dataset.notes, f"vectors {computed}stored in float16, scored in float32"]
    notes.append(f"documents have {counts.min():,} to {counts.max():,} patches, {counts.mean():.0f} on average")
    return Inputs(dataset, documents, queries, encoder, device, notes)


def find_candidates(config: Reranking, inputs: Inputs, stages: Stages, engine: Engine) -> Candidates:
    search = candidates.Search(inputs.dataset, inputs.documents, inputs.queries, config.depth, config.index, stages,
                               cache_folder(), inputs.device, inputs.notes, engine, engine.wide)  # fmt: skip
    return candidates.find(config.candidates, search)


def about(config: Reranking, inputs: Inputs, found: Candidates) -> dict[str, Any]:
    """Candidates, as the manifest holds them."""
    depth = config.depth if found.ranked else len(inputs.documents)
    return {"source": found.source, "depth": depth, "recall": found.recall}


def directory(config: Retrieval, inputs: Inputs, output: str | Path) -> RunDirectory:
    """Where the run lives: the same question on the same data is the same place."""
    name = f"{config.command}-{slug(config.dataset)}-{slug(config.checkpoint)}"
    return RunDirectory(Path(output) / f"{name}-{digest(config.plain(), inputs.fingerprints)[:8]}")


def manifest(
    config: Retrieval, inputs: Inputs, stages: Stages, engine: str, notes: Sequence[str] = (), **rest: Any
) -> Manifest:
    """Provenance of a retrieval run that is about to be finished."""
    return provenance(config, config.seed, inputs.fingerprints, inputs.device, stages, engine,
                      notes=[*inputs.notes, *notes], **rest)  # fmt: skip


def provenance(
    config: Question, seed: int, fingerprints: dict[str, str], device: str, stages: Stages, engine: str, **rest: Any
) -> Manifest:
    """Where any run's numbers come from."""
    return Manifest(
        command=config.command,
        config=config.plain(),
        seeds={"seed": seed},
        git_revision=git_revision(),
        versions=versions(),
        fingerprints=fingerprints,
        seconds=stages.seconds,
        core_seconds=stages.core_seconds,
        host={"machine": platform.machine(), "system": platform.platform(), "cores": cores(), "device": device,
              "engine": engine},
        **rest,
    )  # fmt: skip


def begin(
    kind: type[Q], question: dict[str, Any], device: str, engine: str, output: str | Path, address: str | None = None
) -> tuple[Q, str, Engine]:
    """Everything a command was asked, checked before anything is done: (config, device, engine)."""
    problems = Problems()
    found: list[Any] = []
    for read in (
        lambda: resolve(kind, **question), lambda: pick_device(device), lambda: make_engine(engine, address),
        lambda: check_output(Path(output)),
    ):  # fmt: skip
        with problems:
            found.append(read())
    problems.stop(OptionError)
    config, found_device, work, _ = found
    if work.wide is None:
        return config, found_device, work
    if not issubclass(kind, Reranking):
        raise OptionError(f"harness {config.command} works on this machine; leave --engine {engine} out")
    if device not in ("auto", "cpu"):
        raise OptionError(f"engine {engine!r} works on CPUs; leave --device {device} out")
    return config, "cpu", work


def make_engine(name: str, address: str | None) -> Engine:
    """The engine of that name. Raises OptionError if there is none, or if it takes no address and one is given."""
    kind = ENGINES[name]
    if address is None:
        return kind()
    if "address" not in inspect.signature(kind).parameters:
        raise OptionError(f"engine {name!r} has no --address; give --engine ray with it, or leave it out")
    return kind(address=address)


@contextmanager
def alone(run: RunDirectory, resume: bool) -> Iterator[bool]:
    """The run's folder for this process alone; False if its answer is there: resume was asked, or another process that
    was asked the same has just finished it."""
    finished = run.finished
    if finished and resume:
        yield False
        return
    with lock(run.path, "answering the same question"):
        yield finished or not run.finished


def start(run: RunDirectory, config: Question) -> None:
    """Begin or go on with a run; what another version of the program left in it is not used."""
    run.start(config.command, config.plain(), digest(versions(), git_revision()))


def pick_device(asked: str) -> str:
    """``auto`` is CUDA where there is one. Raises OptionError if the device asked for is not there."""
    import torch

    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    known = ["cpu", "cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if asked == "cpu" or (asked in known and torch.cuda.is_available()):
        return asked
    raise OptionError(f"device {asked!r} is not on this machine; give --device cpu or leave it out")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The revision of the checkout that is running, with a plus if it was changed; None outside one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        revision = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.strip() + ("+" if changed.stdout else "")
