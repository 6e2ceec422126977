"""A plan in a terminal: hours by stage and place, storage and memory by part, what dominates and what breaks."""

from __future__ import annotations

import math

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.planning.estimate import Plan

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def show(plan: Plan, console: Console) -> None:
    work, rates = plan.work, plan.rates
    index = f", index {work.spec}" if work.spec else ""
    console.print(
        f"{work.documents:,} documents of {work.patches:,} patches, {work.dims} dimensions; {work.queries:,} queries of"
        f" {work.tokens} tokens,\n{work.pairs:,} pairs to score, {work.cells:,} cells; candidates {work.candidates}"
        f"{escape(index)}.",
        highlight=False,
    )
    console.print(_hours(plan), highlight=False)
    console.print(_sizes("storage", plan.storage, "sum", sum(plan.storage.values())), highlight=False)
    console.print(_sizes("memory", plan.memory, "peak", plan.peak), highlight=False)
    for line in notes(plan):
        console.print(line, highlight=False)
    stage = next(stage for stage in plan.stages if stage.name == plan.dominates)
    share = plan.hours(stage)["1 core"] / plan.total()["1 core"]
    console.print(f"\n[bold]Dominates:[/] {stage.name}, {share:.0%} of the hours on one core.", highlight=False)
    first, *_ = limits = sorted(plan.breaks, key=lambda name: plan.breaks[name])
    where = "; ".join(f"{name} at {_count(plan.breaks[name])}" for name in limits)
    console.print(
        f"[bold]Breaks first on this machine:[/] {first}. All else equal, in documents: {where}"
        f" ({human(rates.memory_bytes)} of memory, {human(rates.free_bytes)} of disk free).",
        highlight=False,
    )


def notes(plan: Plan) -> list[str]:
    """What the figures are, and are not."""
    gpu = plan.gpu
    return [
        "[dim]Predicted from rates measured on this machine; products are multiplications. n Ray: so many Ray workers,"
        " a core like these each; what is sent to them is not counted. * stays on one machine. 1 GPU: nothing measured;"
        f" a bound from {gpu.tflops:g} TFLOP/s in float32 and {gpu.bandwidth:,g} GB/s (an H100's published figures"
        " unless given); what it does not do stays on this machine's cores.[/]"
    ]


def _hours(plan: Plan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("stage", no_wrap=True)
    heads = {"1 core": "1 core", "this machine": f"{plan.rates.cores} cores", "1 GPU": "1 GPU"}
    for name in ["products", *plan.total()]:
        table.add_column(heads.get(name, name.replace(" workers", " Ray")), justify="right", no_wrap=True)
    for stage in plan.stages:
        times = [time(hours) for hours in plan.hours(stage).values()]
        table.add_row(stage.name + "*" * (stage.shared != "workers"), _power(stage.multiplications), *times)
    total = [time(hours) for hours in plan.total().values()]
    products = _power(sum(stage.multiplications for stage in plan.stages))
    table.add_row("[bold]all[/]", products, *(f"[bold]{one}[/]" for one in total))
    return table


def _sizes(title: str, parts: dict[str, float], last: str, total: float) -> str:
    shown = ", ".join(f"{name} {human(size)}" for name, size in parts.items() if size)
    return f"[bold]{title}[/] {last} {human(total)}: {shown}"


def human(size: float) -> str:
    """Bytes in the unit that fits, three digits."""
    at = min(len(UNITS) - 1, int(math.log10(max(size, 1)) // 3))
    return f"{size / 1000**at:.3g} {UNITS[at]}"


def time(hours: float) -> str:
    """Hours in the unit that fits, two digits: s, min, h, days (d) or years (y)."""
    for unit, size, least in (("y", 24 * 365.25, 1), ("d", 24, 2), ("h", 1, 1), ("min", 1 / 60, 1)):
        if hours >= size * least:
            return f"{float(f'{hours / size:.2g}'):,g} {unit}"
    return f"{hours * 3600:.2g} s"


def _power(number: float) -> str:
    return f"{number:.1e}".replace("e+", "e") if number else "–"


def _count(documents: float) -> str:
    return "more than 1e12" if math.isinf(documents) else f"{documents:.2g}".replace("e+0", "e").replace("e+", "e")
