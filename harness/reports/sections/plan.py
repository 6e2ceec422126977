"""The section of ``harness plan``: hours by stage and place, storage and memory, what dominates and what breaks."""

from __future__ import annotations

import math

from harness.planning.estimate import Plan
from harness.reports.content import Section, words

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def build(plan: Plan) -> Section:
    work, rates, gpu = plan.work, plan.rates, plan.gpu
    index = f", index {work.spec}" if work.spec else ""
    heads = {"this machine": f"{rates.cores} cores"}
    columns = ["stage", "products", *(heads.get(name, name.replace(" workers", " Ray")) for name in plan.total())]
    rows = [
        (stage.name + "*" * (stage.shared != "workers"), stage.multiplications, plan.hours(stage))
        for stage in plan.stages
    ]
    rows.append(("all", sum(stage.multiplications for stage in plan.stages), plan.total()))
    dominant = next(stage for stage in plan.stages if stage.name == plan.dominates)
    part = plan.hours(dominant)["1 core"] / plan.total()["1 core"]
    limits = sorted(plan.breaks, key=lambda name: plan.breaks[name])
    where = "; ".join(f"{name} at {_count(plan.breaks[name])}" for name in limits)
    return Section(
        "What harness eval would cost",
        f"{work.documents:,} documents of {work.patches:,} patches, {work.dims} dimensions; {work.queries:,} queries of"
        f" {work.tokens} tokens, {work.pairs:,} pairs to score, {work.cells:,} cells; candidates"
        f" {work.candidates}{index}.",
        legend="Predicted from rates measured on this machine; products are multiplications. n Ray: so many Ray"
        " workers, a core like these each; what is sent to them is not counted. * stays on one machine. 1 GPU: nothing"
        f" measured; a bound from {gpu.tflops:g} TFLOP/s in float32 and {gpu.bandwidth:,g} GB/s (an H100's published"
        " figures unless given); what it does not do stays on this machine's cores.",
        tables=(
            words(
                "Hours by stage",
                columns,
                ((name, _power(products), *map(time, hours.values())) for name, products, hours in rows),
                numbers=columns,
            ),
        ),
        findings=(
            _sizes("Storage", plan.storage, "sum", sum(plan.storage.values())),
            _sizes("Memory", plan.memory, "peak", plan.peak),
            f"Dominates: {dominant.name}, {part:.0%} of the hours on one core.",
            f"Breaks first on this machine: {limits[0]}. All else equal, in documents: {where}"
            f" ({human(rates.memory_bytes)} of memory, {human(rates.free_bytes)} of disk free).",
        ),
    )


def _sizes(title: str, parts: dict[str, float], last: str, total: float) -> str:
    shown = ", ".join(f"{name} {human(size)}" for name, size in parts.items() if size)
    return f"{title} {last} {human(total)}: {shown}."


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
