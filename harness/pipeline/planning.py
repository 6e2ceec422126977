"""``harness plan``: what a run of ``eval`` would cost."""

from __future__ import annotations

from typing import Any

from harness.config import PlanConfig, resolve
from harness.encoders.base import EMBEDDINGS
from harness.pipeline.rates import rates
from harness.planning import GPU, Plan, Work, estimate
from harness.progress import Stages


def plan(*, remeasure: bool = False, progress: bool = False, **question: Any) -> Plan:
    """Storage, memory, multiplications and hours of ``harness eval`` on a corpus that need not exist.

    question: the options of ``harness plan`` (see ``harness.config.PlanConfig``). Rates are measured on this machine,
    once for a kind of work. Raises HarnessError with every mistake found.
    """
    config = resolve(PlanConfig, **question)
    assert config.documents is not None
    work = Work(
        documents=config.documents, patches=config.patches, queries=config.queries, depth=config.depth,
        dims=config.dims, tokens=config.query_tokens, lengths=config.lengths, arms=config.arms, pools=len(config.pool),
        candidates=config.candidates, index=config.index,
        reads="ids" if config.checkpoint.startswith(EMBEDDINGS) else "text",
    )  # fmt: skip
    measured = rates(config, work, Stages(progress), remeasure)
    return estimate(work, measured, GPU(config.gpu_tflops, config.gpu_bandwidth))
