"""Wall seconds of the commands that should answer at once, each in a process of its own, as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks import timing
from benchmarks.work import own_cache


def main(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as place:
        question = ["--dataset", str(_dataset(Path(place) / "tiny")), "--pool", "maxsim,topk:4"]
        _call(["eval", *question, "--output", f"{place}/runs"], own_cache(Path(place)))
        [run] = Path(place).glob("runs/*")
        commands = {"harness --help": ["--help"], "harness list": ["list"], "harness report": ["report", str(run)]}
        return timing.alternate({name: lambda words=words: _call(words) for name, words in commands.items()}, rounds)


def _call(words: list[str], environment: Mapping[str, str] = os.environ) -> None:
    subprocess.run(
        [sys.executable, "-m", "harness.cli", *words], check=True, stdout=subprocess.DEVNULL, env=environment
    )


def _dataset(folder: Path) -> Path:
    """Forty documents and twenty queries in BEIR's layout: the time of a report is not that of its run."""
    (folder / "qrels").mkdir(parents=True)
    for name, kind, many in (("corpus", "d", 40), ("queries", "q", 20)):
        lines = [json.dumps({"_id": f"{kind}{at}", "text": f"a text about number {at}"}) for at in range(many)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    judged = "\n".join(f"q{at}\td{at}\t1" for at in range(20))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}\n")
    return folder
