"""``csv``: every run's own ``summary.csv`` and ``tests.csv``, as they are."""

from __future__ import annotations

from harness.reports.content import Report
from harness.reports.formats.base import FORMATS, Files


@FORMATS.register("csv")
def csv(report: Report) -> Files:
    for section in report.sections:
        for name in ("summary.csv", "tests.csv"):
            yield f"{section.name}-{name}", (section.run.path / name).read_bytes()
