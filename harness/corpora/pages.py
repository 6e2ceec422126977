"""Pages: images of a folder, searched by text queries. Two layouts are read, and no pickle.

- ``images/`` (png, jpg, webp; an image's id is its file name without the ending) beside BEIR's ``queries.jsonl`` and
  ``qrels/<split>.tsv``;
- ViDoRe's, as the hub keeps it: parquet files under ``corpus/``, ``queries/`` and ``qrels/``, the images inside them.
  Each is extracted once, to ``pages/<sha256>`` of the cache. A page's text, where the corpus has it, is kept for BM25
  and text encoders.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.corpora import tables
from harness.corpora.base import LOCAL, SOURCES, Card, Collection
from harness.corpora.beir import HIGHEST, SHOWN, judgments, rows, tsv_splits
from harness.errors import DataError, Problems, examples
from harness.files import cache_folder, checksum, digest, image, write_atomically
from harness.records import Document, Page, Qrel, Query

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
LAYOUT = "a folder of pages has images/, queries.jsonl and qrels/<split>.tsv"
CORPUS = {"ids": ("corpus-id", "id"), "images": ("image",)}
TEXTS = {"text": ("markdown", "text")}
QUERIES = {"ids": ("query-id", "id"), "text": ("query", "text")}
QRELS = {"query ids": ("query-id",), "page ids": ("corpus-id",), "scores": ("score", "relevance")}


def splits(folder: Path) -> list[str] | None:
    """The judged splits of a folder of pages, or None for a folder of another kind."""
    if (folder / "corpus.jsonl").exists():
        return None
    if (folder / "images").is_dir():
        return tsv_splits(folder)
    return list(tables.parts(folder, "qrels")) if tables.parts(folder, "corpus") else None


LOCAL["pages"] = ("folder of pages", splits)


@SOURCES.register("pages")
def pages(card: Card, split: str) -> Collection:
    """Every image of the folder is a document. Each is decoded once, so that a damaged one is found before encoding."""
    folder = card.folder
    if folder is None:
        what = "pages are read from a folder of that name"
        raise DataError(f"dataset {card.name!r}: {what}; put it under datasets/ or $HARNESS_DATASETS")
    return (_images if (folder / "images").is_dir() else _parquet)(folder, split)


def _images(folder: Path, split: str) -> Collection:
    """The layout of image files."""
    problems, place = Problems(), folder / "images"
    paths = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS)
    if outside := [path.name for path in paths if not Path(os.path.realpath(path)).is_relative_to(folder.resolve())]:
        problems.add(f"{place}: {len(outside):,} images are links out of the folder: {examples(outside)}; copy them in")
    mine = [path for path in paths if path.name not in set(outside)]
    if not paths:
        problems.add(f"{place} holds no image; images end in {', '.join(ENDINGS)}")
    documents = [Document(path.stem, "", Page(path, found)) for path, found in _read(mine, problems).items()]
    before, path = len(problems.found), folder / "queries.jsonl"
    queries = [Query(row["_id"], row["text"]) for row in rows(path, problems, LAYOUT)]
    if not queries and len(problems.found) == before:
        problems.add(f'{path} holds no query; write one a line: {{"_id": "1", "text": "…"}}')
    qrels = list(judgments(folder / "qrels" / f"{split}.tsv", problems, LAYOUT))
    lost = f"; put their images into {place}, or remove their judgments"
    return Collection(documents, queries, qrels, problems=problems, lost=lost)


def _read(paths: Sequence[Path], problems: Problems) -> dict[Path, str]:
    """Checksums of images, all decoded unless these very ones were before."""
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        sums = dict(zip(paths, workers.map(_checksum, paths), strict=True))
        seen = cache_folder() / "pages" / f"{digest(sorted(sums.values()))}.read"
        if seen.exists():
            return sums
        broken = [line for line in workers.map(_complaint, paths) if line]
    _tell(broken, problems)
    if not broken:
        write_atomically(seen, b"")
    return sums


def _checksum(path: Path) -> str:
    try:
        return checksum(path)
    except (OSError, DataError):  # the decoder meets it too, and says what it is
        return ""


def _complaint(path: Path, data: bytes | None = None) -> str | None:
    """What is wrong with an image, or None."""
    try:
        image(path, data)
    except DataError as error:
        return str(error)
    return None


def _parquet(folder: Path, split: str) -> Collection:
    """The hub's layout."""
    problems = Problems()
    files = {table: tables.of_split(folder, table, split) for table in ("corpus", "queries", "qrels")}
    for table in (table for table, paths in files.items() if not paths):
        problems.add(f"{folder} has no {table}/*.parquet; ViDoRe folders have corpus/, queries/ and qrels/")
    return Collection(
        documents=list(_extracted(files["corpus"], problems)),
        queries=list(_queries(files["queries"], problems)),
        qrels=list(_qrels(files["qrels"], problems)),
        problems=problems,
        lost=f"; {folder}/corpus has no such pages: download it again, or remove their judgments",
    )


def _queries(paths: Sequence[Path], problems: Problems) -> Iterator[Query]:
    before, wrong, right = len(problems.found), [], 0
    for path, row in tables.rows(paths, QUERIES, problems):
        name, text = tables.name(row["ids"]), row["text"]
        if name is None or not isinstance(text, str):
            wrong.append(f"{path.name}: {row['ids']}")
        else:
            right += 1
            yield Query(name, text)
    if wrong:
        problems.add(f"{paths[0].parent}: {len(wrong):,} queries lack an id or a text: {examples(wrong)}; mend them")
    elif paths and not right and len(problems.found) == before:
        problems.add(f"{paths[0]} holds no query; download it again")


def _qrels(paths: Sequence[Path], problems: Problems) -> Iterator[Qrel]:
    wrong = []
    for path, row in tables.rows(paths, QRELS, problems):
        query, page, grade = tables.name(row["query ids"]), tables.name(row["page ids"]), row["scores"]
        if query is None or page is None or not isinstance(grade, int | float) or not _is_grade(grade):
            wrong.append(f"{path.name}: {', '.join(map(str, row.values()))}")
        else:
            yield Qrel(query, page, int(grade))
    if wrong:
        needs = f"two ids and a whole-number score up to {HIGHEST}"
        problems.add(f"{paths[0].parent}: {len(wrong):,} judgments need {needs}: {examples(wrong)}; mend them")


def _is_grade(value: float) -> bool:
    return abs(value) <= HIGHEST and int(value) == value


def _extracted(paths: Sequence[Path], problems: Problems) -> Iterator[Document]:
    """The pages of parquet files, few images in memory at a time; what is damaged is named, and not extracted."""
    broken = []
    for path, row in tables.rows(paths, CORPUS, problems, TEXTS):
        name, found = tables.name(row["ids"]), row["images"]
        data = found.get("bytes") if isinstance(found, dict) else found
        if name is None or not isinstance(data, bytes):
            broken.append(f"{path}: page {row['ids']} lacks an id or its image's bytes; download the file again")
            continue
        place = cache_folder() / "pages" / hashlib.sha256(data).hexdigest()
        if not place.exists() or place.read_bytes() != data:
            if line := _complaint(Path(f"{path}: page {name}"), data):
                broken.append(line)
            else:
                write_atomically(place, data)
        text = row.get("text")
        yield Document(name, text if isinstance(text, str) else "", Page(place, place.name))
    _tell(broken, problems)


def _tell(broken: Sequence[str], problems: Problems) -> None:
    """A line for each of the first damaged images, and a count of the rest."""
    problems.found.extend(broken[:SHOWN])
    if len(broken) > SHOWN:
        problems.add(f"{len(broken) - SHOWN:,} more images cannot be read")
