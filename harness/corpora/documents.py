"""Documents of a collection as Arrow files: every id once, in the order of their ids, one file in memory at a time.

A folder holds ``00000.arrow`` …, one record batch each, and ``about.json``, which is written last and names their
checksums. A file is memory-mapped for as long as someone looks, so that a collection of any size takes little memory.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from harness.corpora.notes import SHOWN, Named
from harness.files import cache_folder, lock, sealed, unsealed, xxh3
from harness.records import Document, Page

if TYPE_CHECKING:
    import pyarrow

ABOUT, NAMED = "about.json", ("again", "torn", "broken")
LETTERS, ROW = 1 << 25, 512  # of a file; a document counts as its letters and ROW
OPEN = 256  # files that are filled at once
BATCH = 1024  # documents that are made at once


@dataclass
class Summary:
    """What a folder of documents holds, and what is to be said of the rows that they were read from.

    rows, sums: number of documents and xxh3 of every file; again, torn: ids given again with the same text, or with
    another; broken: ids whose id or text UTF-8 cannot hold; blank: ids of documents without text, which are in no file;
    said: whatever the reader of the rows noted.
    """

    rows: list[int] = field(default_factory=list)
    sums: list[str] = field(default_factory=list)
    again: Named = field(default_factory=Named)
    torn: Named = field(default_factory=Named)
    broken: Named = field(default_factory=Named)
    blank: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Documents(Sequence[Document]):
    """The documents of a folder that ``write`` filled. A slice is a list; who walks them holds one batch at a time.

    batches: what the files held, where they are gone.
    """

    def __init__(self, folder: Path, summary: Summary, batches: Sequence[pyarrow.RecordBatch] = ()):
        self.folder, self.summary, self.batches = folder, summary, batches
        self.starts = [0, *itertools.accumulate(summary.rows)]
        self._last: tuple[int, pyarrow.RecordBatch] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Documents, (self.folder.absolute(), self.summary, self.batches)

    def __len__(self) -> int:
        return self.starts[-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Documents) and len(self) == len(other) and all(map(Document.__eq__, self, other))

    @overload
    def __getitem__(self, at: int) -> Document: ...

    @overload
    def __getitem__(self, at: slice) -> list[Document]: ...

    def __getitem__(self, at: int | slice) -> Document | list[Document]:
        if isinstance(at, slice):
            rows = range(len(self))[at]
            return list(self._between(rows.start, rows.stop)) if rows.step == 1 else [self[row] for row in rows]
        row = range(len(self))[at]
        number = bisect.bisect_right(self.starts, row) - 1
        if self._last is None or self._last[0] != number:
            self._last = (number, self._batch(number))
        return next(_documents(self._last[1].slice(row - self.starts[number], 1)))

    def __iter__(self) -> Iterator[Document]:
        return self._between(0, len(self))

    def _between(self, start: int, stop: int) -> Iterator[Document]:
        for number, (first, rows) in enumerate(zip(self.starts, self.summary.rows, strict=False)):
            low, high = max(start - first, 0), min(stop - first, rows)
            if low < high:
                yield from _documents(self._batch(number).slice(low, high - low))

    def _batch(self, number: int) -> pyarrow.RecordBatch:
        return self.batches[number] if self.batches else _opened(_path(self.folder, number))

    def ids(self) -> Iterator[str]:
        """The ids in order; no text is read."""
        for number in range(len(self.summary.rows)):
            yield from self._batch(number).column("id").to_pylist()

    def find(self, names: Collection[str]) -> Iterator[Document]:
        """The documents that have these ids, in order; no other text is read."""
        for number in range(len(self.summary.rows)):
            batch = self._batch(number)
            if rows := [row for row, name in enumerate(batch.column("id").to_pylist()) if name in names]:
                yield from _documents(batch.take(rows))


def fetch(key: str, read: Callable[[], Iterable[Document]], gather: Callable[[], dict[str, Any] | None]) -> Documents:
    """Documents from the cache, or read and written there. key: names all that they are read from.

    gather: called after reading: what is to be kept beside the documents; None if something is wrong with what was
    read: then only what is said of the documents is returned, and none of them.
    """
    folder = cache_folder() / "documents" / key
    if (found := _cached(folder)) is not None:
        return found
    with lock(folder, "reading these documents"):
        if (found := _cached(folder)) is not None:
            return found
        work = folder.with_name(f".{key}.part")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        summary = write(read(), work)
        if (facts := gather()) is None:
            shutil.rmtree(work)
            return Documents(folder, replace(summary, rows=[]))
        summary = replace(summary, facts=facts, sums=list(map(xxh3, _paths(work, summary))))
        with sealed(work / ABOUT) as save:
            save(json.dumps(asdict(summary)).encode())
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    return Documents(folder, summary)


def in_memory(documents: Iterable[Document]) -> Documents:
    """Documents of a collection that is made, not read from files."""
    with tempfile.TemporaryDirectory(prefix="harness-") as work:
        summary = write(documents, Path(work))
        return Documents(Path(), summary, [_opened(path, mapped=False) for path in _paths(Path(work), summary)])


def _cached(folder: Path) -> Documents | None:
    """What a folder of the cache holds; None if it is not there, unfinished or damaged."""
    if not (folder / ABOUT).exists() or (content := unsealed(folder / ABOUT)) is None:
        return None
    held: dict[str, Any] = json.loads(content)
    names: dict[str, Any] = {name: Named(**held.pop(name)) for name in NAMED}
    summary = Summary(**held, **names)
    found = Documents(folder, summary)
    sums = zip(_paths(folder, summary), summary.sums, strict=True)
    return found if all(path.exists() and xxh3(path) == known for path, known in sums) else None


def write(documents: Iterable[Document], folder: Path) -> Summary:
    """Fill a folder: every id once, the first that is read, in the order of length and letters, those with text."""
    import pyarrow
    from pyarrow import compute

    summary, ids, facts = Summary(), [], []
    for number, batch in enumerate(_batches(documents)):
        record = _record(batch, summary.broken)
        _save(record, folder / f"{number:05d}.read")
        ids.append(record.column("id"))
        facts.append(_facts(batch))
    if not ids:
        return summary
    rows = list(map(len, ids))
    names, (letters, contents, blank) = pyarrow.concat_arrays(ids), np.concatenate(facts, axis=1)
    del ids, facts  # of millions each is much
    places = pyarrow.table({"length": compute.utf8_length(names), "id": names})
    order = compute.sort_indices(places, [("length", "ascending"), ("id", "ascending")]).to_numpy().astype(np.int64)
    again = _again(names, order)
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    same = contents[order] == contents[first]
    summary.again, summary.torn = (
        Named(len(repeated), names.take(pyarrow.array(repeated[:SHOWN])).to_pylist())
        for repeated in (np.sort(order[again & same]), np.sort(order[again & ~same]))
    )
    empty = blank[order].astype(bool)
    summary.blank = names.take(pyarrow.array(order[empty & ~again])).to_pylist()
    del places, names, contents, first, same, blank
    summary.rows = _arranged(folder, rows, order[~(empty | again)], letters)
    return summary


def _again(names: pyarrow.Array, order: np.ndarray) -> np.ndarray:
    """Which of the ids in their order are the same as the one before, bool (n)."""
    import pyarrow
    from pyarrow import compute

    ordered, last = names.take(pyarrow.array(order)), len(names) - 1
    return np.concatenate([[False], compute.equal(ordered.slice(0, last), ordered.slice(1)).to_numpy(False)])


def _arranged(folder: Path, rows: Sequence[int], order: np.ndarray, letters: np.ndarray) -> list[int]:
    """Turn files as they were read into files in order, and say how many rows each has.

    Rows are dealt out to the files where they belong, then each file is sorted: no more than one is ever in memory.
    rows: of every file that was read; order: rows that are kept, int64; letters: of every row that was read, int64.
    """
    if np.array_equal(order, np.arange(len(letters))):
        for number in range(len(rows)):
            (folder / f"{number:05d}.read").rename(_path(folder, number))
        return list(rows)
    ends = np.cumsum(letters[order] + ROW)
    files = np.unique(ends // max(LETTERS, int(ends[-1:].sum()) // OPEN + 1), return_inverse=True)[1]
    places = np.full(len(letters), -1, np.int64)
    places[order] = np.arange(len(order))
    _deal(folder, np.split(places, np.cumsum(rows)[:-1]), files)
    counts: list[int] = np.bincount(files).tolist()
    for number in range(len(counts)):
        _save(_sorted(folder / f"{number}.dealt"), _path(folder, number))
    return counts


def _deal(folder: Path, places: Sequence[np.ndarray], files: np.ndarray) -> None:
    """Write the rows of every file that was read to the files where they belong, with their places.

    places: of the rows of every file that was read, −1 of one that is left out; files: of every place.
    """
    import pyarrow

    with contextlib.ExitStack() as stack:
        writers: dict[int, Any] = {}
        for number, here in enumerate(places):
            path = folder / f"{number:05d}.read"
            batch = _opened(path).append_column("place", pyarrow.array(here))
            rows = np.flatnonzero(here >= 0)
            rows = rows[np.argsort(here[rows])]
            targets, starts = np.unique(files[here[rows]], return_index=True)
            for file, group in zip(targets.tolist(), np.split(rows, starts[1:]), strict=False):
                some = batch.take(pyarrow.array(group))
                if file not in writers:
                    made = pyarrow.ipc.new_stream(str(folder / f"{file}.dealt"), some.schema)
                    writers[file] = stack.enter_context(made)
                writers[file].write(some)
            path.unlink()


def _sorted(path: Path) -> pyarrow.RecordBatch:
    """The rows that were dealt to a file in the order of their places; the file is removed."""
    import pyarrow

    with pyarrow.ipc.open_stream(str(path)) as stream:
        rows = stream.read_all().combine_chunks()
    path.unlink()
    [batch] = rows.sort_by("place").drop_columns(["place"]).to_batches()
    return batch


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Lists of documents, each as many as a file takes."""
    batch, size = list[Document](), 0
    for document in documents:
        batch.append(document)
        size += len(document.text) + ROW
        if size >= LETTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _facts(batch: Sequence[Document]) -> np.ndarray:
    """Letters, a hash of the content and whether there is none, of every document, int64 (3, n)."""
    rows = (
        (len(one.text), hash((one.text, one.page and one.page.checksum)), not (one.page or one.text.strip()))
        for one in batch
    )
    return np.array(list(rows), np.int64).reshape(-1, 3).T


def _record(batch: Sequence[Document], broken: Named) -> pyarrow.RecordBatch:
    """The documents as columns; of what UTF-8 cannot hold, the ids are added to the broken ones."""
    import pyarrow

    columns = {"id": [document.id for document in batch], "text": [document.text for document in batch]}
    columns["title"] = [document.title for document in batch]
    pages = [
        document.page and f"{document.page.checksum} {document.page.path}".encode(errors="surrogateescape")
        for document in batch
    ]
    try:
        held = {name: pyarrow.array(values, pyarrow.large_string()) for name, values in columns.items()}
    except UnicodeEncodeError:
        for document in batch:
            if not encodable(document.id + document.text):
                broken.add(document.id)
        mended = [
            Document(_mended(document.id), _mended(document.text), document.page, _mended(document.title))
            for document in batch
        ]
        return _record(mended, broken)
    return pyarrow.record_batch(held | {"page": pyarrow.array(pages, pyarrow.binary())})


def encodable(text: str) -> bool:
    """Whether UTF-8 can hold a text: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mended(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _documents(batch: pyarrow.RecordBatch) -> Iterator[Document]:
    """The documents of a batch, a few at a time."""
    for start in range(0, len(batch), BATCH):
        columns = batch.slice(start, BATCH).to_pydict()
        for name, text, title, page in zip(*columns.values(), strict=True):
            yield Document(name, text, page and _page(page), title)


def _page(content: bytes) -> Page:
    checksum, _, path = content.decode(errors="surrogateescape").partition(" ")
    return Page(Path(path), checksum)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.arrow"


def _paths(folder: Path, summary: Summary) -> list[Path]:
    return [_path(folder, number) for number in range(len(summary.rows))]


def _save(rows: pyarrow.RecordBatch, path: Path) -> None:
    import pyarrow

    with pyarrow.ipc.new_file(str(path), rows.schema) as file:
        file.write(rows)


def _opened(path: Path, mapped: bool = True) -> pyarrow.RecordBatch:
    """The only batch of a file, memory-mapped for as long as it or a part of it is used, or read."""
    import pyarrow

    with pyarrow.memory_map(str(path)) if mapped else pyarrow.BufferReader(path.read_bytes()) as file:
        return pyarrow.ipc.open_file(file).get_batch(0)
