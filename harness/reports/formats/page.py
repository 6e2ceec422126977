"""``html``: one page that holds all it needs, asks no network for anything, and runs no script but its own."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from importlib import resources
from typing import Any

from harness.reports.content import Figure, Report, RunSection, Table
from harness.reports.drilldown import queries, texts
from harness.reports.formats.base import FORMATS, Files

SCRIPTS = ("explore.js", "queries.js", "start.js")


@FORMATS.register("html")
def html(report: Report) -> Files:
    """``index.html``. Text reaches the page escaped by the template or as data that its script never parses as HTML."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    styles = part("page.css") + "".join(f".s{at}{{--series:{colour}}}\n" for at, colour in enumerate(shades(report)))
    scripts = [library(), "".join(part(name) for name in SCRIPTS)]
    held, blobs = data(report)
    shown = environment.from_string(part("page.html")).render(
        report=report,
        shade={name: at for at, name in enumerate(report.palette)},
        held=held,
        blobs=blobs,
        styles=Markup(styles),
        scripts=[Markup(one) for one in scripts],
        policy=policy(styles, scripts),
    )
    yield "index.html", shown.encode()


def part(name: str) -> str:
    return (resources.files("harness.reports") / "page" / name).read_text(encoding="utf-8")


def shades(report: Report) -> list[str]:
    return list(report.palette.values())


@functools.cache  # bundling takes seconds
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed, in the versions that the charts are written for."""
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)


def policy(styles: str, scripts: list[str]) -> str:
    """A content security policy: nothing is loaded from anywhere, and no script runs but those with these digests."""
    allowed = " ".join(f"'sha256-{digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'sha256-{digest(styles)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def data(report: Report) -> tuple[list[str | None], dict[str, str]]:
    """(by section the name of its texts, packed data by name): texts that runs share are held once."""
    blobs: dict[str, str] = {}
    held: list[str | None] = []
    seen: dict[str, str] = {}
    for section in report.sections:
        blobs[f"data-{section.name}"] = pack(payload(report, section))
        held_texts = texts(section.run)
        text = json.dumps(held_texts, sort_keys=True) if held_texts else ""
        if text and text not in seen:
            seen[text] = f"texts-{len(seen)}"
            blobs[seen[text]] = pack(held_texts)
        held.append(seen.get(text))
    return held, blobs


def payload(report: Report, section: RunSection) -> dict[str, Any]:
    """What the page's script needs of a run: chart specifications once each, points by table, queries."""
    from harness.reports import charts, curves

    kinds: dict[Any, int] = {}  # tables whose axes are equal share a chart
    tables = []
    for table in section.tables:
        drawn = None
        if table.axes is not None:
            xs = tuple(column.x for column in table.columns if column.x is not None)
            drawn = kinds.setdefault((table.axes, xs), len(kinds))
        tables.append({"where": dict(table.where), "spec": drawn, "points": packed_points(table)})
    specifications = [curves.live(axes, xs, report.palette) for axes, xs in kinds]
    figures = [
        specification(report, figure) for figure in section.figures if figure.draw and figure.name != "alignment"
    ]
    return {
        "specs": specifications,
        "tables": tables,
        "figures": figures,
        "queries": queries(section.run),
        "alignment": charts.live_alignment(),
    }


def packed_points(table: Table) -> dict[str, list[Any]]:
    """Columns of the chart's points, as lists."""
    from harness.reports import curves

    rows = curves.points(table) if table.axes is not None else []
    return {name: [row[name] for row in rows] for name in curves.POINTS if name != "panel"}


def specification(report: Report, figure: Figure) -> Any:
    assert figure.draw is not None
    chart = figure.draw(report.palette).to_dict() | {"background": "transparent"}
    chart.pop("title", None)  # the page has it above the chart
    return chart


def pack(value: Any) -> str:
    """JSON, compressed, as text without a letter that HTML could take for its own."""
    plain = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return base64.b64encode(gzip.compress(plain, compresslevel=9, mtime=0)).decode()
