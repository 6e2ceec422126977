"""``harness plan``: what a run of ``eval`` would cost."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import packages, readers
from harness.commands.context import RunContext
from harness.commands.questions import arms, fill, lengths
from harness.encoders.base import EMBEDDINGS
from harness.files import cache_folder, digest, write_atomically
from harness.options import Config, option
from harness.planning.estimate import GPU, Plan, Rates, Work, estimate
from harness.progress import Stages
from harness.reports.formats import terminal
from harness.reports.sections.plan import build

FORMAT = 2  # raise it when what is measured changes
PACKAGES = ("torch", *packages.FAISS, "numpy", "numba", "transformers")


@dataclass(frozen=True)
class PlanConfig(Config):
    """``harness plan``: the size of a corpus, which need not exist, and what ``eval`` would be asked of it."""

    command = "plan"

    documents: int | None = option(None, readers.whole(1, 10**12), "Number of documents, such as 8.8e6.")
    patches: int = option(128, readers.whole(1, readers.LONGEST), "Patches per document, on average.")
    queries: int = option(1000, readers.whole(1), "Number of queries.")
    query_tokens: int = option(32, readers.whole(1, readers.LONGEST), "Tokens per query.")
    depth: int = option(100, readers.whole(1), "Documents per query that are reranked and kept.")
    dims: int = option(
        128, readers.whole(1, readers.LONGEST), "Dimensions of a vector; the checkpoint's do not matter."
    )
    checkpoint: str = option("minilm", readers.checkpoint, "minilm, a local folder, a hub id, or embeddings:FOLDER.")
    pool: tuple[str, ...] = option(
        ("maxsim",), readers.each(readers.pool), "Aggregators, e.g. maxsim,topk:4,softmax:0.1."
    )
    lengths: tuple[int, ...] = lengths()
    arms: tuple[str, ...] = arms()
    fill: str = fill()
    candidates: str = option("faiss", readers.candidates, "First stage: faiss, exact, or ranking:FILE.")
    index: str = option(
        "auto", readers.text, "FAISS index: flat, ivf-sq, ivf-pq, disk, disk:ivf-pq, or a factory string.", "by size"
    )
    dtype: str = option(
        "float32",
        readers.registered("encoders:DTYPES"),
        "Precision of the encoder: float32, bfloat16, or auto: bfloat16 where the device multiplies it natively.",
    )
    measures: tuple[str, ...] = option(
        ("nDCG@10", "R@1", "R@10"), readers.each(readers.measure), "Measures, by the names of ir_measures."
    )
    gpu_tflops: float = option(
        67.0, readers.number(1e-3, 1e6, "gpu TFLOP/s"), "Speed of the assumed GPU in float32, TFLOP/s.", "67, an H100's"
    )
    gpu_bandwidth: float = option(
        3350.0, readers.number(1e-3, 1e6, "gpu bandwidth"), "Bandwidth of its memory, GB/s.", "3350, an H100's"
    )
    remeasure: bool = option(False, readers.flag, "Measure the rates of this machine again.", running=True)
    format: str | None = option(
        None, readers.known(("json",)), "Print json, for machines.", "none: tables", running=True
    )

    @classmethod
    def complete(cls, values: dict[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
        if "documents" in values and values["documents"] is None:
            yield "documents: how many? give --documents 8.8e6, say"
        if values.get("candidates") in ("bm25", "pooled"):
            yield f"candidates {values['candidates']} are not planned for; give faiss, exact or ranking:FILE"


CONFIG = PlanConfig


def run(config: PlanConfig, context: RunContext) -> Plan:
    """Predict storage, memory, multiplications and hours of `harness eval`, from rates measured on this machine."""
    assert config.documents is not None  # or it was a mistake
    work = Work(
        documents=config.documents,
        patches=config.patches,
        queries=config.queries,
        depth=config.depth,
        dims=config.dims,
        tokens=config.query_tokens,
        lengths=config.lengths,
        arms=config.arms,
        pools=len(config.pool),
        candidates=config.candidates,
        index=config.index,
        reads="ids" if config.checkpoint.startswith(EMBEDDINGS) else "text",
    )
    measured = rates(config, work, context.stages, config.remeasure)
    return estimate(work, measured, GPU(config.gpu_tflops, config.gpu_bandwidth))


def rates(config: PlanConfig, work: Work, stages: Stages, again: bool = False) -> Rates:
    """This machine's rates for such a work, measured once and kept in the cache; again: measured anew.

    A work is like another if it differs only in its numbers of documents and queries, and candidates are shared by
    about as many queries.
    """
    about = config.plain() | {"gpu_tflops": None, "gpu_bandwidth": None, "depth": min(work.depth, work.documents)}
    about |= {"documents": None, "queries": round(min(work.sharing, 64), 1)}
    kind = "".join(letter for letter in work.spec if not letter.isdigit())
    path = cache_folder() / "rates" / f"{digest(FORMAT, about, kind, machine())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    here = {"memory_bytes": _memory(), "free_bytes": float(shutil.disk_usage(path.parent).free)}
    if path.exists() and not again:
        return Rates(**(json.loads(path.read_text()) | here))
    with stages("measure rates"):
        from harness.planning.measure import measure  # which needs every room; what was measured needs none

        found = measure(config, work, here)
    write_atomically(path, json.dumps(asdict(found), indent=1).encode())
    return found


def machine() -> list[Any]:
    """What rates depend on besides the work: the processor, the cores this process may use, and the packages."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = [f"{package} {version}" for package, version in packages.of(*PACKAGES).items()]
    return [name or platform.processor(), allowed, os.environ.get("OMP_NUM_THREADS", ""), *found]


def _memory() -> float:
    """Bytes of memory of this machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else 0.0


def show(plan: Plan, config: PlanConfig, console: Console) -> int:
    """Print the plan's tables, or JSON."""
    if config.format:
        print(json.dumps(plan.record(), indent=1))
    else:
        terminal.show(build(plan), console)
    return 0
