"""BEIR's zips: downloaded once, their published checksum verified, unpacked safely."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from harness.corpora.cards import Card
from harness.errors import DataError, examples, first_line
from harness.files import cache_folder, checksum, lock

UNZIPPING = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)  # of a damaged archive


def download(card: Card, split: str) -> tuple[Path, str]:
    """The dataset's folder in the cache, of all splits: downloaded once, its published checksum verified, unpacked
    safely. The second value, its version, is empty: the content says what it is."""
    folder = cache_folder() / "datasets" / card.name
    if folder.is_dir():
        return folder, ""
    if not card.url or not card.md5:
        raise DataError(f"dataset {card.name!r}: its card needs url and md5, or a BEIR folder of that name")
    with lock(folder, f"downloading {card.name}"):
        if not folder.is_dir():
            _fetch(card, folder)
    return folder, ""


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
