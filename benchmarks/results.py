"""What was measured, a part at a time: on which machine, on which day, and of how many rounds its figures are medians.

results.json: part → {machine, date, rounds, figures}. It needs numpy only, so that other environments write it too.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import timing

RESULTS = Path(__file__).with_name("results.json")


def recorded(figures: dict[str, Any], rounds: int) -> dict[str, Any]:
    """A part that was measured now, on this machine."""
    today = datetime.now(UTC).date().isoformat()
    return {"machine": timing.machine(), "date": today, "rounds": rounds, "figures": figures}


def read(path: Path = RESULTS) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def keep(part: str, record: dict[str, Any], path: Path = RESULTS) -> dict[str, Any]:
    """Write one part in the place of what it was; all others stay as they are. Returns them all."""
    held = read(path) | {part: record}
    path.write_text(json.dumps(held, indent=1) + "\n")
    return held


def figures(results: dict[str, Any], part: str) -> dict[str, Any]:
    """A part's figures; none if it was not measured."""
    return results.get(part, {}).get("figures", {})


def origin(record: dict[str, Any]) -> str:
    """Where and when a part was measured, in words."""
    machine, rounds = record["machine"], record["rounds"]
    took = "measured once" if rounds == 1 else f"medians of {rounds} rounds"
    instructions = ", ".join(machine["instructions"]) or "none of the vector instructions looked for"
    return f"{machine['processor']}, {machine['cores']} cores ({instructions}), {record['date']}, {took}"
