"""``harness plan``: what a run of ``eval`` would cost."""

from __future__ import annotations

import json
import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness import packages
from harness.config import PlanConfig, resolve
from harness.encoders.base import EMBEDDINGS
from harness.files import cache_folder, digest, write_atomically
from harness.planning.estimate.estimate import GPU, Plan, Rates, Work, estimate
from harness.progress import Stages

FORMAT = 1  # raise it when what is measured changes
PACKAGES = ("torch", *packages.FAISS, "numpy", "numba", "transformers")


def plan(*, remeasure: bool = False, progress: bool = False, **question: Any) -> Plan:
    """Storage, memory, multiplications and hours of ``harness eval`` on a corpus that need not exist.

    question: the options of ``harness plan`` (see ``harness.config.PlanConfig``). Rates are measured on this machine,
    once for a kind of work. Raises HarnessError with every mistake found.
    """
    config = resolve(PlanConfig, **question)
    assert config.documents is not None  # or it was a mistake
    work = Work(
        documents=config.documents, patches=config.patches, queries=config.queries, depth=config.depth,
        dims=config.dims, tokens=config.query_tokens, lengths=config.lengths, arms=config.arms, pools=len(config.pool),
        candidates=config.candidates, index=config.index,
        reads="ids" if config.checkpoint.startswith(EMBEDDINGS) else "text",
    )  # fmt: skip
    measured = rates(config, work, Stages(progress), remeasure)
    return estimate(work, measured, GPU(config.gpu_tflops, config.gpu_bandwidth))


def rates(config: PlanConfig, work: Work, stages: Stages, again: bool = False) -> Rates:
    """This machine's rates for such a work, measured once and kept in the cache; again: measured anew.

    A work is like another if it differs in its numbers of documents and queries alone, and candidates are shared by
    about as many queries.
    """
    about = config.plain() | {"gpu_tflops": None, "gpu_bandwidth": None, "depth": min(work.depth, work.documents)}
    about |= {"documents": None, "queries": round(min(work.sharing, 64), 1)}
    kind = "".join(letter for letter in work.spec if not letter.isdigit())
    path = cache_folder() / "rates" / f"{digest(FORMAT, about, kind, machine())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    here = {"memory": _memory(), "free": float(shutil.disk_usage(path.parent).free)}
    if path.exists() and not again:
        return Rates(**(json.loads(path.read_text()) | here))
    with stages("measure rates"):
        from harness.planning.estimate.measure import measure  # which needs every room; what was measured needs none

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
