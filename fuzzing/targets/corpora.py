"""Folders of every layout, and BEIR's judgments alone. What is loaded must come back from a TREC file."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import ir_measures

from fuzzing.judging import TARGETS, Place, Target
from fuzzing.mutating import Files
from harness import corpora
from harness.records import Dataset, ScoredDoc
from harness.runs import RunDirectory
from harness.trec import unfit
from tests.corpora import layouts

LETTERS = 400  # of a note

DOCUMENTS = b"""{"_id": "d1", "title": "Cats", "text": "Cats purr when they are content."}
{"_id": "d2", "title": "", "text": "Dogs bark at night."}
{"_id": "d3", "text": "The moon moves the sea.", "metadata": {"url": "x"}}
"""
QUERIES = b"""{"_id": "q1", "text": "which animal purrs"}
{"_id": "q2", "text": "tides", "metadata": {}}
"""
HEADED = b"query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td3\t1\n"
TREC = b"q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\n"


def load(place: Place) -> None:
    """The folder is refused, or its ids come back from a TREC run as ir_measures reads it."""
    fit(corpora.load(str(place.given)), place)


def fit(dataset: Dataset, place: Place) -> None:
    run = RunDirectory(place.output)
    path = run.ranking("truncate", "maxsim", 32)
    pairs = [(query.id, document.id) for query in dataset.queries[:20] for document in dataset.documents[:20]]
    run.write_ranking(path, [ScoredDoc(*pair, -float(at)) for at, pair in enumerate(pairs)])
    assert [(one.query_id, one.doc_id) for one in run.read_ranking(path)] == pairs
    theirs = list(ir_measures.read_trec_run(str(path)))
    assert len(theirs) == len(pairs)
    if not any(unfit(name) for pair in pairs for name in pair):
        assert [(one.query_id, one.doc_id) for one in theirs] == pairs
    assert all(len(note) <= LETTERS for note in dataset.notes)


def _beir(_: Place) -> list[Files]:
    return [{"corpus.jsonl": DOCUMENTS, "queries.jsonl": QUERIES, "qrels/test.tsv": qrels} for qrels in (HEADED, TREC)]


def _qrels(place: Place) -> list[Files]:
    return [{"qrels/test.tsv": qrels} for qrels in (HEADED, TREC)]


def judged(place: Place) -> None:
    """The judgments alone are hostile."""
    for name, content in (("corpus.jsonl", DOCUMENTS), ("queries.jsonl", QUERIES)):
        if not (place.given / name).exists():
            (place.output / name).write_bytes(content)
    if (place.given / "qrels").is_dir():
        (place.output / "qrels").symlink_to(place.given / "qrels")
    fit(corpora.load(str(place.output)), place)


def _pages(place: Place) -> list[Files]:
    """Three small images of the formats that are read, and the hub's layout of the same."""
    import pandas as pd
    from PIL import Image

    files: Files = {"queries.jsonl": QUERIES, "qrels/test.tsv": HEADED}
    rows = []
    for at, kind in enumerate(("png", "jpg", "webp"), 1):
        held = io.BytesIO()
        Image.new("RGB", (24, 16), (at * 60, 20, 200)).save(held, {"jpg": "jpeg"}.get(kind, kind))
        files[f"images/d{at}.{kind}"] = held.getvalue()
        rows.append({"corpus-id": at, "image": {"bytes": held.getvalue(), "path": None}, "markdown": "a page"})
    asked = pd.DataFrame({"query-id": [1, 2], "query": ["which animal purrs", "tides"]})
    graded = pd.DataFrame({"query-id": [1, 2], "corpus-id": [1, 3], "score": [2, 1]})
    tables = {"corpus": pd.DataFrame(rows), "queries": asked, "qrels": graded}
    hub: Files = {
        f"{name}/test-00000-of-00001.parquet": table.to_parquet(index=False) for name, table in tables.items()
    }
    return [files, hub]


def _layout(name: str) -> Callable[[Place], list[Files]]:
    """One collection as a layout has it."""

    def sound(place: Place) -> list[Files]:
        place.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.root) as work:
            folder = Path(work) / "given"
            (layouts.PLAIN | layouts.NESTED)[name](folder, layouts.BREAD)
            return [{str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}]

    return sound


def split(place: Place) -> None:
    """Every split that the folder seems to have."""
    for one in list(corpora.check(str(place.given)).splits)[:3]:
        fit(corpora.load(str(place.given), one), place)


for _name in ("longembed", "mteb2", "configs", "colbert", "titled_tsv", "csv", "trec", "trec_xml", *layouts.NESTED):
    TARGETS.register(f"layout-{_name}")(Target(_layout(_name), split))
TARGETS.register("beir")(Target(_beir, load))
TARGETS.register("qrels")(Target(_qrels, judged))
TARGETS.register("pages")(Target(_pages, load))
