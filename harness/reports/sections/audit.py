"""The section of ``harness audit``: every law, whether it holds, and the smallest case that breaks it."""

from __future__ import annotations

from dataclasses import replace

from harness.audit import Audit
from harness.reports.content import Column, Row, Section, Table, text


def build(audit: Audit) -> Section:
    rows = (
        Row(one.law.name, (replace(text(one.result), best=one.result == "fail"), text(one.words)))
        for one in audit.results
    )
    columns = (Column("result", words=True), Column("smallest counterexample", words=True))
    return Section(
        f"Audit of {audit.target} as {audit.pool}",
        tables=(Table("laws", "", "check", columns, tuple(rows), better=""),),
        findings=(*(f"{one.law.name}: {one.law.claim}" for one in audit.failed), audit.summary),
    )
