"""``plan``: what a run would cost, before it is begun."""

from __future__ import annotations

from typing import Annotated

from harness.cli.app import app
from harness.cli.options import Candidates, Checkpoint, Config, Dtype, Index, Lengths, Pool, ask, interruptible, option


@app.command("plan", short_help="What eval would cost on a corpus of a size: storage, memory, hours.")
def plan_(
    documents: Annotated[str | None, option("How many, such as 8.8e6.")] = None,
    patches: Annotated[str | None, option("Of a document, on average. [128]")] = None,
    queries: Annotated[str | None, option("How many. [1000]")] = None,
    query_tokens: Annotated[str | None, option("Of a query. [32]")] = None,
    depth: Annotated[str | None, option("Documents reranked and kept, a query. [100]")] = None,
    dims: Annotated[str | None, option("Of a vector. [128]")] = None,
    checkpoint: Checkpoint = None,
    pool: Pool = None,
    lengths: Lengths = None,
    arms: Annotated[str | None, option("truncate, pad, equalize. [truncate,pad]")] = None,
    candidates: Candidates = None,
    index: Index = None,
    dtype: Dtype = None,
    gpu_tflops: Annotated[float | None, option("Of the GPU assumed, in float32. [67, an H100's]")] = None,
    gpu_bandwidth: Annotated[float | None, option("Of its memory, GB/s. [3350, an H100's]")] = None,
    remeasure: Annotated[bool, option("Measure this machine's rates anew.", "--remeasure")] = False,
    format: Annotated[str | None, option("json, for machines. [none: tables]")] = None,
    config: Config = None,
) -> None:
    """Storage, memory, multiplications and hours of `harness eval`, from rates measured on this machine."""
    given = {name: value for name, value in locals().items() if name not in ("remeasure", "format")}
    import json

    from harness.errors import OptionError, unknown

    question, _ = ask("PlanConfig", given)
    if format not in (None, "json"):
        raise OptionError(unknown("format", format, ["json"]))
    with interruptible():
        from rich.console import Console

        from harness import commands
        from harness.reports import plan as report

        done = commands.plan(remeasure=remeasure, progress=True, **question)
    if format:
        print(json.dumps(done.record(), indent=1))
    else:
        report.show(done, Console())
