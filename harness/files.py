"""Files: the cache folder, names of contents, checksums, locks, atomic writes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from harness.errors import DataError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LARGEST, DEEPEST = 1 << 18, 16  # bytes of a YAML file, levels of its values
SETTLED = 2.0  # seconds; as old a file has to be before its time tells that it did not change
SEAL = b"xxh3"  # then sixteen hex digits: the end of a sealed file


def cache_folder() -> Path:
    """``$HARNESS_CACHE``, or the platform's user cache folder."""
    if given := os.environ.get("HARNESS_CACHE"):
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("harness")


ENCODE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


def digest(*parts: Any, many: Iterable[Any] | None = None) -> str:
    """Sixteen hex digits that name a content: of the JSON of the parts. many: a list as the last part, never held."""
    text = ENCODE(parts).encode("utf-8", "surrogatepass")
    made = hashlib.sha256(text if many is None else text[:-1] + b", ")
    for piece in () if many is None else itertools.chain(json_list(many), [b"]"]):
        made.update(piece)
    return made.hexdigest()[:16]


def json_list(items: Iterable[Any]) -> Iterator[bytes]:
    """The JSON of a list, a few items at a time: of a corpus it would take more memory than the corpus does."""
    yield b"["
    parts, rest = "", iter(items)
    while some := list(itertools.islice(rest, 64)):
        yield (parts + ENCODE(some)[1:-1]).encode("utf-8", "surrogatepass")
        parts = ", "
    yield b"]"


def checksum(path: Path, kind: str = "sha256") -> str:
    """The checksum of a file, hex. Raises DataError if it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, kind).hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None


def remembered(path: Path) -> str:
    """The sha256 of a large file that a user keeps: read once, then known by its path, size, time and inode."""
    about = path.stat()
    name = digest(str(path.resolve()), about.st_size, about.st_mtime_ns, about.st_ino)
    place = cache_folder() / "checksums" / name
    if place.exists() and (kept := unsealed(place)) is not None:
        return kept.decode()
    found = checksum(path)
    if time.time() - about.st_mtime > SETTLED:  # a write right after the last one could leave the same time
        with sealed(place) as write:
            write(found.encode())
    return found


def xxh3(path: Path, head: bytes = b"", tail: int = 0) -> str:
    """The 64-bit xxh3 of a file but its last bytes, sixteen hex digits, with ``head`` in the place of its first ones.

    Against damage, not against forgery. Raises DataError if the file is missing.
    """
    hasher, block = xxhash.xxh3_64(head), memoryview(bytearray(1 << 18))
    try:
        with path.open("rb", buffering=0) as file:
            left = os.fstat(file.fileno()).st_size - len(head) - tail
            file.seek(len(head))
            while left > 0 and (size := file.readinto(block[:left])):
                hasher.update(block[:size])
                left -= size
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    return hasher.hexdigest()


@contextmanager
def lock(path: Path, doing: str) -> Iterator[None]:
    """One process at a time makes what is at a path; who comes later says so, waits, and should then look again.

    The kernel lets go of the lock when its holder dies. Where there are no such locks (Windows, some network file
    systems) nobody waits: work may be done twice, and as every write is atomic no harm comes of it.
    """
    place = path.with_name(f".{path.name}.lock")
    place.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(place, doing)
    try:
        yield
    finally:
        if file:
            place.unlink(missing_ok=True)  # while it is held: who waits for it finds that it went, and opens another
            file.close()


def _locked(place: Path, doing: str) -> BinaryIO | None:
    """The lock's file, locked; None where there are no locks."""
    if fcntl is None:
        return None
    while True:
        file = place.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if doing:
                print(f"  waiting for another process that is {doing}", file=sys.stderr)
            doing = ""  # told once
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            file.close()
            return None
        with suppress(FileNotFoundError):
            if place.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file under a temporary name beside the path, renamed when all is written: a reader sees all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a crash must not leave an empty file under the final name
        part.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say what it had no room for
        raise
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary name beside the file, then rename: a reader sees all of it or nothing."""
    with _written(path) as file:
        file.write(content)


@contextmanager
def sealed(path: Path) -> Iterator[Callable[[bytes], int]]:
    """Write atomically, piece by piece, and end with the xxh3 of it all; readers that know their end skip it."""
    made = xxhash.xxh3_64()
    with _written(path) as file:

        def write(piece: bytes) -> int:
            made.update(piece)
            return file.write(piece)

        yield write
        file.write(SEAL + made.hexdigest().encode())


def damaged(path: Path) -> bool:
    """Whether a file ends in another xxh3 than it has; of one that ends in none, nothing is known."""
    with path.open("rb") as file:
        size = len(SEAL) + 16
        file.seek(max(0, path.stat().st_size - size))
        end = file.read()
    return end.startswith(SEAL) and end[len(SEAL) :] != xxh3(path, tail=size).encode()


def unsealed(path: Path) -> bytes | None:
    """What a sealed file holds; None if it is damaged."""
    content = path.read_bytes()
    held, end = content[: -len(SEAL) - 16], content[-len(SEAL) - 16 :]
    return held if end == SEAL + xxhash.xxh3_64_hexdigest(held).encode() else None


def plain_yaml(path: Path) -> Any:
    """A small YAML file's plain data. Raises ValueError or YAMLError; of deep nesting and aliases, which can stand for
    more than memory holds, before they cost any time."""
    import yaml

    with path.open("rb") as file:
        text = file.read(LARGEST + 1).decode("utf-8-sig")
    if len(text) > LARGEST:
        raise ValueError(f"larger than {LARGEST:,} bytes")
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's takes a seventh of the time
    depth = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias (*{event.anchor}), which is not read; write its value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"values nested more than {DEEPEST} deep")
    return yaml.load(text, loader)


def too_long(name: str) -> bool:
    """Whether no file system takes a name or a path as long as this."""
    letters = [len(part.encode("utf-8", "surrogatepass")) for part in Path(name).parts]
    return max(letters, default=0) > 200 or sum(letters) > 2_000
