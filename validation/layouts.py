"""Does a layout change a figure? One collection in every layout and from every origin, evaluated, to the last byte."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd

from harness import corpora
from harness.files import checksum
from tests.corpora import layouts
from tests.corpora.hub import serving
from tests.corpora.layouts import BREAD, Texts
from validation import pages

QUESTION = ("--pool", "maxsim,topk:4", "--arms", "truncate,pad", "--lengths", "32,64", "--candidates", "bm25")


def main(folder: Path) -> Path:
    """Evaluate SciFact, or a small collection where it is missing, in every layout; returns the page's path."""
    card = corpora.check("scifact")
    with tempfile.TemporaryDirectory() as work:
        found = summaries(texts_of(card.folder) if card.folder else BREAD, Path(work))
    rows = [
        {
            "written as": name,
            "layout": layouts.LAYOUT.get(name, "beir, downloaded" if name == "zip" else "tables, downloaded"),
            "bytes": len(summary),
            "sha256": hashlib.sha256(summary).hexdigest()[:16],
        }
        for name, summary in found.items()
    ]
    same = "all are the same bytes" if len(set(found.values())) == 1 else "**they differ**"
    text = f"""
{"A sample of SciFact" if card.folder else "A small collection"}, written in every layout that is read, as a zip that a
server gives and as a repository of a hub, each under the same name and evaluated by itself
(`harness eval {" ".join(QUESTION)}`): of the {len(found)} files `summary.csv` {same}."""
    return pages.write(folder, "layouts", "One collection in every layout", text, {"summaries": pd.DataFrame(rows)})


def texts_of(folder: Path) -> Texts:
    """A collection in BEIR's layout as it is: documents that are judged, those with odd titles, a tenth of the rest."""
    corpus, asked = (map(json.loads, (folder / f"{name}.jsonl").open()) for name in ("corpus", "queries"))
    judged = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    kept = {document for _, document, _ in judged}
    documents = [(row["_id"], row.get("title", ""), row["text"]) for row in corpus]
    return Texts(
        [
            (name, title, text)
            for at, (name, title, text) in enumerate(documents)
            if name in kept or at % 10 == 0 or title != title.strip() or title.startswith('"')
        ],
        [(row["_id"], row["text"]) for row in asked],
        [(query, document, int(grade)) for query, document, grade in judged],
    )


def summaries(texts: Texts, root: Path, names: Sequence[str] = ()) -> dict[str, bytes]:
    """``summary.csv`` of the collection in each of the layouts, or all, and from each origin, always under one name."""
    found = {}
    for name, write in (layouts.PLAIN | layouts.NESTED).items():
        if not names or name in names:
            write(root / name / "same", texts)
            split = {"a_split_a_dataset": "Bread", "bright": "biology"}.get(name)
            found[name] = evaluated(str(root / name / "same"), root / name, split=split)
    with zipped(root / "zip", texts) as cards:
        found["zip"] = evaluated("same", root / "zip", {"HARNESS_DATASETS": str(cards)})
    with serving() as hub:
        layouts.nanobeir(root / "published" / "hub", texts)
        repository = f"owner/{root.name}"  # another one every time: what a name resolves to is remembered
        hub.add(repository, root / "published" / "hub")
        (root / "hub").mkdir()
        (root / "hub" / "same.yaml").write_text(f"source: hub\nhub: {repository}\nsplits: [train]\n")
        places = {"HF_ENDPOINT": hub.address, "HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "0"}
        found["hub"] = evaluated("same", root / "hub", places | {"HARNESS_DATASETS": str(root / "hub")})
    return found


@contextmanager
def zipped(root: Path, texts: Texts) -> Iterator[Path]:
    """A folder with the card of a zip that a server on this machine gives."""
    layouts.beir(root / "packed" / "same", texts)
    archive = Path(shutil.make_archive(str(root / "served" / "same"), "zip", root / "packed", "same"))

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(archive.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (root / "cards").mkdir()
    url = f"http://127.0.0.1:{server.server_port}/same.zip"
    (root / "cards" / "same.yaml").write_text(f"source: beir\nurl: {url}\nmd5: {checksum(archive, 'md5')}\n")
    try:
        yield root / "cards"
    finally:
        server.shutdown()
        server.server_close()


def evaluated(dataset: str, root: Path, places: Mapping[str, str] | None = None, split: str | None = None) -> bytes:
    """The summary of a run in a process of its own."""
    line = [
        sys.executable,
        "-m",
        "harness.cli",
        "eval",
        "--dataset",
        dataset,
        *QUESTION,
        "--output",
        str(root / "runs"),
    ]
    line += ["--split", split] if split else []
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(places or {})})
    [summary] = (root / "runs").glob("*/summary.csv")
    return summary.read_bytes()
