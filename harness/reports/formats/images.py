"""``svg`` and ``png``: every figure that has a number as a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.reports.content import Report
from harness.reports.formats.base import FORMATS, Files


def images(report: Report, suffix: str) -> Files:
    from harness.reports import charts, curves  # altair takes a second to import

    for name, figure in report.figures():
        if figure.draw is None and not any(map(curves.points, figure.panels)):
            continue  # no number to draw
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"chart.{suffix}"
            charts.save(curves.draw(figure, report.palette), path)
            yield f"{name}.{suffix}", path.read_bytes()


@FORMATS.register("svg")
def svg(report: Report) -> Files:
    return images(report, "svg")


@FORMATS.register("png")
def png(report: Report) -> Files:
    return images(report, "png")
