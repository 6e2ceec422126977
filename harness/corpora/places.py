"""Where a collection's tables lie in a folder, by the words of their names, never by what is in them.

``corpus.jsonl``, ``corpus/test-00000-of-00001.parquet``, ``qrels_dev.tsv``, ``data/queries-0.parquet``, ``en-corpus/``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.corpora.lines import ending, stem
from harness.corpora.rows import JSONL, PARQUET
from harness.errors import DataError

DOCUMENTS = ("corpus", "collection", "documents", "docs", "passages")
QUERIES = ("queries", "questions", "query", "examples", "qa", "topics")
QRELS = ("qrels", "qrel", "judgments", "judgements", "relevance")
UNNAMED = ("data", "default")  # where mteb keeps judgments: a file a split
TABLES = (*JSONL, *PARQUET, ".tsv", ".csv")  # of documents and queries, the first wins
JUDGED = (".tsv", *JSONL, *PARQUET, ".txt", ".csv", ".trec", ".qrels", "")
MARKS = "-_."

Splits = dict[str, list[Path]]
"""Split → its files; "" where no name says which."""


def files(folder: Path, words: Sequence[str], endings: Sequence[str] = TABLES, config: str | None = None) -> Splits:
    """The files of the table that one of these words names; the first word that is found, and a name that is the word
    before one that ends in it. Of one split in several formats the first of the endings wins. config: of tables such as
    ``en-corpus``, the part before the word.
    """
    for word in words:
        for base in (folder, folder / "data"):
            for kind in (_exact, _ends) if config is None else (partial(_exact, config=config),):
                if found := _found(base, word, endings, kind):
                    return {split: _one_format(paths, endings) for split, paths in found.items()}
    return {}


def _found(base: Path, word: str, endings: Sequence[str], kind: Callable[[str, str], str | None]) -> Splits:
    found: Splits = {}
    for path in _inside(base):
        if path.is_dir() and (rest := kind(path.name, word)) is not None:
            for inner in sorted(path.rglob("*")):
                if _readable(inner, endings):
                    found.setdefault(_split(inner, path, word) or rest, []).append(inner)
        elif _readable(path, endings) and (rest := kind(_bare(path), word)) is not None:
            found.setdefault(rest, []).append(path)
    return found


def judged(folder: Path, config: str | None = None) -> Splits:
    """The files of judgments by split, beside the documents, in a folder of theirs, or in one named ``NAME-qrels``."""
    if by_split := files(folder, QRELS, JUDGED, config):
        return _named(by_split)
    for name in UNNAMED:
        by_split = {}
        for path in _inside(folder / name):
            other = any(_exact(_bare(path), word) is not None for word in (*DOCUMENTS, *QUERIES))
            if _readable(path, JUDGED) and not other:
                by_split.setdefault(_bare(path), []).append(path)
        if by_split:
            return _named(by_split)
    beside = folder.parent / f"{folder.name}-qrels"
    return _named({_bare(path): [path] for path in _inside(beside) if _readable(path, JUDGED)})


def three(folder: Path, split: str, config: str | None, endings: Sequence[str]) -> dict[str, list[Path]]:
    """The files of documents (of these formats), queries and judgments of a split.

    Raises DataError if there are several sets of tables, and no config says which.
    """
    if config is None and not files(folder, DOCUMENTS, endings, "") and len(sets := configs(folder)) > 1:
        card = f"write 'config: {sets[0]}' into {folder}.yaml, say"
        raise DataError(f"{folder} holds {len(sets)} sets of tables: {', '.join(sets)}; {card}")
    return {
        "documents": of_split(files(folder, DOCUMENTS, endings, config), split),
        "queries": of_split(files(folder, QUERIES, config=config), split),
        "qrels": judged(folder, config).get(split, []),
    }


def of_names(folder: Path, names: Sequence[str]) -> Splits:
    """Files that a split names, such as ``dev.jsonl.gz``."""
    found = {
        name: [path for path in _inside(folder) if _readable(path, TABLES) and _bare(path) == name] for name in names
    }
    return {name: _one_format(paths, TABLES) for name, paths in found.items() if paths}


def of_split(by_split: Splits, split: str) -> list[Path]:
    """The files of a split, those that name none, or all: one corpus serves several splits."""
    return by_split.get(split) or by_split.get("") or [path for paths in by_split.values() for path in paths]


def configs(folder: Path) -> list[str]:
    """``de`` and ``en`` where a folder holds ``de-corpus`` and ``en-corpus``."""
    found = set()
    for base in (folder, folder / "data"):
        for path in _inside(base):
            name = path.name if path.is_dir() else _bare(path)
            found |= {
                name[: -len(word) - 1] for word in DOCUMENTS if name.endswith(tuple(f"{mark}{word}" for mark in MARKS))
            }
    return sorted(found)


def inner(folder: Path, holds: Sequence[str] = DOCUMENTS) -> list[str]:
    """Names of the folders inside that hold documents themselves."""
    return [path.name for path in _inside(folder) if path.is_dir() and any(_inside(path)) and files(path, holds)]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _readable(path: Path, endings: Sequence[str]) -> bool:
    plain = ending(path) in endings and not path.is_dir()
    return plain and stem(path).lower() not in ("readme", "license", "licence")


def _bare(path: Path) -> str:
    """``test`` of ``test-00000-of-00001.parquet``."""
    return re.sub(r"-\d+-of-\d+$", "", stem(path))


def _exact(name: str, word: str, config: str | None = None) -> str | None:
    """What a table's name says besides its word, "" if nothing; None if it is another table's."""
    if config:
        return "" if name in [f"{config}{mark}{word}" for mark in MARKS] else None
    if name == word:
        return ""
    return name[len(word) + 1 :] if name.startswith(tuple(f"{word}{mark}" for mark in MARKS)) else None


def _ends(name: str, word: str) -> str | None:
    return "" if name.endswith(tuple(f"{mark}{word}" for mark in MARKS)) else None


def _split(path: Path, folder: Path, word: str) -> str:
    """``test`` of ``corpus/test-00000-of-00001.parquet``, ``corpus/test/00.parquet``; "" of ``corpus/00.parquet``."""
    bare = _bare(path)
    if not re.search("[A-Za-z]", bare):
        bare = path.parent.name if path.parent != folder else ""
    rest = _exact(bare, word)
    return rest if rest is not None else bare


def _named(by_split: Splits) -> Splits:
    return {split or "test": paths for split, paths in by_split.items()}


def _one_format(paths: list[Path], endings: Sequence[str]) -> list[Path]:
    best = min((ending(path) for path in paths), key=list(endings).index)
    same = {path.with_name(f"{stem(path)}{best}"): path for path in reversed(paths) if ending(path) == best}
    return sorted(same.values())  # packed or not, once
