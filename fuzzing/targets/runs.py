"""Run directories that others wrote: read, listed, compared, and rendered in every format."""

from __future__ import annotations

import functools
import io
import shutil
from pathlib import Path

import harness
from fuzzing.judging import TARGETS, Place, Target, lay
from fuzzing.mutating import Files
from fuzzing.targets.corpora import HEADED
from fuzzing.targets.questions import KINDS
from fuzzing.targets.vectors import _items, files
from harness.errors import Problems
from harness.options import read_config
from harness.records import Document, Query
from harness.runs import runs

TEXT = ["md", "csv", "latex", "mteb", "ranx"]
SMALL = {"pool": "maxsim,mean", "dtype": "float32"}


def console():
    from rich.console import Console

    return Console(file=io.StringIO(), width=100)


def read(place: Place) -> None:
    """A run in the terminal, in the formats of text, in the list, and its rankings and config one by one."""
    from harness.commands.report import ReportConfig, show
    from harness.reports.formats import terminal
    from harness.reports.sections.list import build

    terminal.show(build("runs", place.given), console())
    for run in runs(place.given):
        problems = Problems()
        with problems:
            show(harness.report(run.path), ReportConfig(), console())
        with problems:
            harness.report(run.path, format=TEXT, output=place.output)
        for path in run.path.rglob("*.trec.gz"):
            with problems:
                list(run.read_ranking(path))
        for kind in (kind for command, kind in KINDS.items() if run.path.name.startswith(command)):
            with problems:
                read_config(kind, run.path / "config.yaml")
        problems.stop()


def page(place: Place) -> None:
    for run in runs(place.given):
        harness.report(run.path, format="html", output=place.output)


def charts(place: Place) -> None:
    for run in runs(place.given):
        harness.report(run.path, format="svg", output=place.output)


def compared(place: Place) -> None:
    """A hostile run against a sound one, in the terminal too."""
    from harness.commands.compare import CompareConfig, show

    for run in runs(place.given):
        other = place.root / "other" / run.path.name[:4]
        done = harness.compare(other, run.path, output=place.output)
        show(done, CompareConfig(), console())


@functools.cache
def made(place: Place) -> dict[str, Files]:
    """By command the files of a small finished run, on vectors that are drawn."""
    from harness.commands import provenance

    provenance.git_revision = lambda: None  # which starts a program
    documents = b"".join(b'{"_id": "d%d", "text": "word number %d of a few"}\n' % (at, at) for at in range(1, 9))
    queries = b"".join(b'{"_id": "q%d", "text": "which word is %d"}\n' % (at, at) for at in range(1, 7))
    judged = HEADED + b"q3\td4\t1\nq4\td5\t1\nq5\td6\t1\nq6\td7\t1\n"
    items = {"documents": _items(documents, Document), "queries": _items(queries, Query)}
    vectors = files(items, "safetensors")
    lay(
        {
            "corpus.jsonl": documents,
            "queries.jsonl": queries,
            "qrels/test.tsv": judged,
            **{f"vectors/{name}": content for name, content in vectors.items()},
        },
        place,
    )
    output = place.root / "sound"
    question = {
        **SMALL,
        "dataset": str(place.given),
        "checkpoint": f"embeddings:{place.given / 'vectors'}",
        "output": output,
    }
    asked = {**question, "measures": "nDCG@10,R@1", "depth": 10}
    done = {
        "eval": harness.evaluate(**asked, lengths="4,8"),
        "stress": harness.stress(**asked, counts="0,3", inject="hard"),
        "gradients": harness.gradients(**question, lengths="4,8", pairs=4),
        "synth": harness.synth(
            output=output,
            pool="maxsim,mean",
            seeds=2,
            epochs=2,
            every=1,
            queries=16,
            gallery=8,
            batch=8,
            lengths="16,32",
            counts="0,3",
            inject="hard",
            train_length="16",
        ),
    }
    asked |= {"seed": 1}
    again = {
        "eval": harness.evaluate(**asked, lengths="4,8"),
        "stre": harness.stress(**asked, counts="0,3", inject="hard"),
    }
    done["compare"] = harness.compare(done["eval"].path, again["eval"].path, output=output)
    (place.root / "other").mkdir()
    for name, one in again.items():
        shutil.move(one.path, place.root / "other" / name)
    return {command: whole(one.path) for command, one in done.items()}


def whole(path: Path) -> Files:
    """All files of a run but charts, which nothing reads."""
    held = [one for one in sorted(path.rglob("*")) if one.is_file() and one.suffix not in (".svg", ".png", ".html")]
    return {f"{path.name}/{one.relative_to(path)}": one.read_bytes() for one in held}


TARGETS.register("runs")(Target(lambda place: list(made(place).values()), read))
TARGETS.register("pages-of-runs")(Target(lambda place: list(made(place).values()), page))
TARGETS.register("charts-of-runs")(Target(lambda place: [made(place)["eval"], made(place)["gradients"]], charts))
TARGETS.register("comparisons")(Target(lambda place: [made(place)["eval"], made(place)["stress"]], compared))
