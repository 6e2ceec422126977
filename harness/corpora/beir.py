"""BEIR: a folder of corpus.jsonl, queries.jsonl and qrels/<split>.tsv, local or downloaded and verified."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from harness.corpora.base import LOCAL, SOURCES, Card, Collection
from harness.corpora.columns import is_header
from harness.errors import DataError, Problems, examples, first_line
from harness.files import cache_folder, checksum, lock
from harness.records import Document, Qrel, Query

HIGHEST = 127  # grade; measures raise 2 to it
UNZIPPING = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)  # of a damaged archive
SHOWN = 5  # broken lines named before the rest are counted
LAYOUT = "a BEIR folder has corpus.jsonl, queries.jsonl and qrels/<split>.tsv"


def splits(folder: Path) -> list[str] | None:
    """The judged splits of a BEIR folder, or None for a folder of another kind."""
    return tsv_splits(folder) if (folder / "corpus.jsonl").exists() else None


def tsv_splits(folder: Path) -> list[str]:
    """Names of the files in ``qrels/``."""
    return [path.stem for path in (folder / "qrels").glob("*.tsv")]


LOCAL["beir"] = ("BEIR folder", splits)


@SOURCES.register("beir")
def beir(card: Card, split: str) -> Collection:
    """Documents are ``title + " " + text``; judgments may be graded, and the qrels file may lack its header."""
    folder = card.folder or download(card)
    problems = Problems()
    documents = [
        Document(row["_id"], f"{row.get('title') or ''} {row['text']}".strip(), title=(row.get("title") or "").strip())
        for row in rows(folder / "corpus.jsonl", problems)
    ]
    queries = [Query(row["_id"], row["text"]) for row in rows(folder / "queries.jsonl", problems)]
    qrels = list(judgments(folder / "qrels" / f"{split}.tsv", problems))
    problems.stop(DataError)
    return Collection(documents, queries, qrels)


def rows(path: Path, problems: Problems, layout: str = LAYOUT) -> Iterator[dict[str, Any]]:
    """Rows of a JSONL file that have a text _id and a text; the others are named by file and line."""
    for number, line in _lines(path, problems, layout):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(f"{path}:{number}: not JSON ({first_line(error)})")
            continue
        if not isinstance(row, dict) or not isinstance(row.get("_id"), str) or not isinstance(row.get("text"), str):
            problems.add(f'{path}:{number}: needs "_id" and "text", both strings')
        elif not isinstance(row.get("title") or "", str):
            problems.add(f'{path}:{number}: "title" must be a string')
        else:
            yield row


def _lines(path: Path, problems: Problems, layout: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not blank; stops after SHOWN problems with a count of what was not read."""
    if not path.is_file():
        problems.add(f"{path} is missing; {layout}")
        return
    before = len(problems.found)
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if len(problems.found) - before >= SHOWN:
                problems.add(f"{path}: more lines may be wrong; reading stopped at line {number - 1}")
                return
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                problems.add(f"{path}:{number}: not UTF-8")
                continue
            if line.strip():
                yield number, line.rstrip("\r\n")


def judgments(path: Path, problems: Problems, layout: str = LAYOUT) -> Iterator[Qrel]:
    """Judgments of three tab-separated columns (query, document, grade) or TREC's four; a header is skipped."""
    for number, line in _lines(path, problems, layout):
        cells = line.split("\t") if "\t" in line else line.split()
        if number == 1 and is_header(cells):
            continue
        if len(cells) == 4:
            del cells[1]
        try:
            query_id, doc_id, grade = cells
            if abs(int(grade)) > HIGHEST:
                raise ValueError
            yield Qrel(query_id, doc_id, int(grade))
        except ValueError:
            wanted = f"a whole-number score up to {HIGHEST}"
            problems.add(f"{path}:{number}: {line!r} needs query-id, corpus-id and {wanted}, tab-separated")


def download(card: Card) -> Path:
    """The dataset's folder in the cache: downloaded once, its published checksum verified, unpacked safely."""
    folder = cache_folder() / "datasets" / card.name
    if folder.is_dir():
        return folder
    if not card.url or not card.md5:
        raise DataError(f"dataset {card.name!r}: its card needs url and md5, or a BEIR folder of that name")
    with lock(folder, f"downloading {card.name}"):
        if not folder.is_dir():
            _fetch(card, folder)
    return folder


def _fetch(card: Card, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        archive = Path(work) / "archive.zip"
        _get(card, archive)
        unpacked = unpack(archive, Path(work) / "unpacked")
        inner = unpacked / card.name
        (inner if inner.is_dir() else unpacked).replace(folder)


def _get(card: Card, archive: Path) -> None:
    from beir.util import download_url

    instead = f"or unpack it yourself and set HARNESS_DATASETS to the folder that holds {card.name}/"
    try:
        download_url(card.url, str(archive))
    except (OSError, ValueError) as error:  # requests' errors are OSErrors
        reason = type(error).__name__
        what = f"dataset {card.name!r} could not be downloaded from {card.url} ({reason})"
        raise DataError(f"{what}; try again, {instead}") from None
    found = checksum(archive, "md5")
    if found != card.md5:
        raise DataError(f"dataset {card.name!r}: the download has md5 {found}, its card says {card.md5}; {instead}")


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip whose members all stay inside the folder. Raises DataError if one would not, or is a link."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            bad = [info.filename for info in bundle.infolist() if _escapes(info)]
            if bad:
                raise DataError(f"{archive.name} is refused: members outside its folder or links: {examples(bad)}")
            if (size := sum(info.file_size for info in bundle.infolist())) > shutil.disk_usage(archive.parent).free:
                raise DataError(f"{archive.name} is refused: it holds {size:,} bytes, more than the disk has room for")
            bundle.extractall(folder)
    except (OSError, ValueError, *UNZIPPING) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(f"{archive.name} is no readable zip archive ({first_line(error)})") from None
    return folder


def _escapes(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename.replace("\\", "/"))
    drive = len(path.parts) > 0 and ":" in path.parts[0]
    return path.is_absolute() or drive or ".." in path.parts or stat.S_ISLNK(info.external_attr >> 16)
