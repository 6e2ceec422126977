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

from harness.corpora import places, reading, rows
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.columns import PAGES
from harness.corpora.judgments import identifier
from harness.corpora.lines import SHOWN, Reading
from harness.corpora.notes import Named
from harness.corpora.rows import PARQUET
from harness.errors import DataError, Problems, examples
from harness.files import cache_folder, checksum, digest, write_atomically
from harness.images import image
from harness.records import Document, Page

ABOUT = "folder of pages"
RANK = 10
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def recognises(folder: Path) -> bool:
    if (folder / "images").is_dir():
        return not places.files(folder, places.DOCUMENTS)
    found = places.files(folder, places.DOCUMENTS, PARQUET)
    return any("image" in PAGES.choose(rows.columns(paths[0])) for paths in found.values())


def splits(folder: Path, card: Card) -> list[str]:
    return list(places.judged(folder, card.config))


def files(folder: Path, split: str, card: Card) -> dict[str, list[Path]]:
    found = places.three(folder, split, card.config, PARQUET)
    return found | {"documents": []} if (folder / "images").is_dir() else found


def read(folder: Path, split: str, card: Card) -> Collection:
    """Every image of the folder is a document. Each is decoded once, so that a damaged one is found before encoding."""
    problems, paths, numbers = Problems(), files(folder, split, card), Named()
    if (folder / "images").is_dir():
        wanted = "a folder of pages has images/, queries.jsonl and qrels/<split>.tsv"
        pages = list(_images(folder, problems))
    else:
        wanted = "ViDoRe folders have corpus/, queries/ and qrels/ with parquet files"
        pages = list(_extracted(paths["documents"], problems, numbers))
    found = reading.collect(folder, split, card, paths | {"documents": []}, wanted, pages, numbers)
    found.problems.lines[:0] = problems.lines
    found.files = paths | {"documents": [folder / "images"] if (folder / "images").is_dir() else paths["documents"]}
    return found


def _images(folder: Path, problems: Problems) -> Iterator[Document]:
    """The layout of image files."""
    place = folder / "images"
    paths = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS)
    if outside := [path.name for path in paths if not Path(os.path.realpath(path)).is_relative_to(folder.resolve())]:
        problems.add(f"{place}: {len(outside):,} images are links out of the folder: {examples(outside)}; copy them in")
    inside = [path for path in paths if path.name not in set(outside)]
    if not paths:
        problems.add(f"{place} holds no image; images end in {', '.join(ENDINGS)}")
    for path, found in _read(inside, problems).items():
        yield Document(path.stem, "", Page(path, found))


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


def _extracted(paths: Sequence[Path], problems: Problems, numbers: Named) -> Iterator[Document]:
    """The pages of parquet files, few images in memory at a time; what is damaged is named, and not extracted."""
    broken = []
    for path in paths:
        for _, row in rows.rows(path, PAGES, Reading(path, problems)):
            name, found, text = identifier(row["id"]), row["image"], row.get("text")
            if isinstance(row["id"], int):
                numbers.add(row["id"])
            data = found.get("bytes") if isinstance(found, dict) else found
            if name is None or not isinstance(data, bytes):
                broken.append(f"{path}: page {row['id']} lacks an id or its image's bytes; download the file again")
                continue
            place = cache_folder() / "pages" / hashlib.sha256(data).hexdigest()
            if not place.exists() or place.read_bytes() != data:
                if line := _complaint(Path(f"{path}: page {name}"), data):
                    broken.append(line)
                else:
                    write_atomically(place, data)
            yield Document(name, text if isinstance(text, str) else "", Page(place, place.name))
    _tell(broken, problems)


def _tell(broken: Sequence[str], problems: Problems) -> None:
    """A line for each of the first damaged images, and a count of the rest."""
    problems.lines.extend(broken[:SHOWN])
    if len(broken) > SHOWN:
        problems.add(f"{len(broken) - SHOWN:,} more images cannot be read")
