"""From ``--dataset`` to a judged collection: find the card or the folder, load it, check it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from harness.corpora import exclusion
from harness.errors import DataError, OptionError, Problems, examples, first_line, unknown
from harness.files import json_list, plain_yaml, too_long
from harness.records import Dataset, Document, Qrel, Query, content
from harness.registry import Registry


@dataclass(frozen=True)
class Card:
    """What a ``NAME.yaml`` says of a dataset.

    source: a registered source; splits: the judged splits, the default first; url, md5: where ``beir`` downloads it and
    the published checksum; query_length, document_length: the usual limits in patches of published ColBERT runs;
    drop_empty: leave out documents without text rather than refuse them; checkpoint: the encoder used where none is
    asked for; world: what a ``synthetic`` world differs in from the study's; same_ids_are_same: a query's id names the
    document that it is, which is never its candidate, though their texts may differ.
    """

    name: str
    source: str
    about: str = ""
    splits: Sequence[str] = ("test",)
    url: str | None = None
    md5: str | None = None
    query_length: int | None = None
    document_length: int | None = None
    licence: str = ""
    drop_empty: bool = False
    same_ids_are_same: bool = False
    checkpoint: str | None = None
    world: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass
class Collection:
    """What a source returns: everything it read, before it is checked as a whole.

    version: joins the fingerprint; problems: mistakes found on the way, reported with those of the whole; lost: what to
    do about judged documents that are not there.
    """

    documents: list[Document]
    queries: list[Query]
    qrels: list[Qrel]
    version: str = ""
    problems: Problems = field(default_factory=Problems)
    lost: str = ""


SOURCES: Registry[Callable[[Card, str], Collection]] = Registry("source")
LOCAL: dict[str, tuple[str, Callable[[Path], list[str] | None]]] = {}
"""Sources that read a local folder, asked in the order of their names: what such a folder is called, and the function
that gives its splits, or None for a folder of another kind."""


def folders() -> list[Path]:
    """Where cards and folders are looked for: ``$HARNESS_DATASETS``, ``datasets/``, then the cards shipped."""
    given = [Path(one) for one in os.environ.get("HARNESS_DATASETS", "").split(os.pathsep) if one]
    here = Path(__file__).parent
    return [*given, Path("datasets"), here / "cards", here.parents[1] / "datasets"]


def datasets() -> dict[str, Card]:
    """Every dataset that can be named, the first found of each name; a folder wins over a card and uses it."""
    cards: dict[str, Card] = {}
    local: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.yaml")):
            if path.stem not in cards:
                cards[path.stem] = read_card(path)
        for path in sorted(folder.glob("*/")):
            if path.name not in local and local_source(path):
                local[path.name] = path
    return cards | {name: _local(folder, cards.get(name)) for name, folder in local.items()}


def local_source(folder: Path) -> str | None:
    """The source that reads a folder, or None."""
    return next((source for source in sorted(LOCAL) if LOCAL[source][1](folder) is not None), None)


def read_card(path: Path) -> Card:
    """A dataset card. Raises DataError naming the file and the key that is wrong."""
    try:
        given: Any = plain_yaml(path)
        card = Card(name=path.stem, **given)
        if card.source not in SOURCES.names():
            raise ValueError(unknown("source", str(card.source), SOURCES))
        if not isinstance(card.splits, list | tuple) or not card.splits or not all(map(_is_name, card.splits)):
            raise ValueError("splits must be a list of names, the default first, such as [test, train]")
        for key in ("drop_empty", "same_ids_are_same"):
            if not isinstance(getattr(card, key), bool):
                raise ValueError(f"{key} must be true or false, not {getattr(card, key)!r}")
    except (yaml.YAMLError, TypeError, ValueError, OSError, RecursionError) as error:
        raise DataError(f"dataset card {path}: {first_line(error).replace('Card.__init__() ', '')}") from None
    return card


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not set(value) & set("/\\")


def _local(folder: Path, card: Card | None = None) -> Card:
    """The card of a dataset's folder: the named card's facts, the folder's own source and splits."""
    source = local_source(folder)
    assert source is not None
    kind, splits = LOCAL[source]
    found = sorted(set(splits(folder) or ["test"]), key=lambda split: (split != "test", split))
    about = f"a {kind}: {folder}"
    return replace(card or Card(folder.name, source, about), source=source, splits=found, folder=folder)


def check(name: str, split: str | None = None) -> Card:
    """The card a name or a path means. Raises OptionError with the nearest name; reads no document."""
    if too_long(name):
        raise OptionError(f"unknown dataset {name[:40] + '…'!r}: no name or path is that long")
    if local_source(Path(name)):
        folder = Path(name).resolve()
        beside = folder.with_name(f"{folder.name}.yaml")
        card = _local(folder, read_card(beside) if beside.is_file() else None)
    elif "/" in name or name.startswith("."):
        there = "no corpus.jsonl there; a BEIR folder has one beside queries.jsonl"
        raise OptionError(f"dataset {name!r}: {there}; a folder of pages has images/, or corpus/ with parquet files")
    else:
        known = datasets()
        if name not in known:
            line = unknown("dataset", name, known)
            raise OptionError(f"{line}; or the path of a BEIR folder, or put one under datasets/ or $HARNESS_DATASETS")
        card = known[name]
    if split is not None and split not in card.splits:
        raise OptionError(unknown(f"split of dataset {card.name!r}", split, card.splits))
    return card


def load(name: str, split: str | None = None, limit: int | None = None) -> Dataset:
    """A judged collection; ``limit`` keeps the first queries by id. Raises DataError with all that is wrong with it."""
    card = check(name, split)
    split = split or card.splits[0]
    return checked(card, split, SOURCES[card.source](card, split), limit)


def checked(card: Card, split: str, raw: Collection, limit: int | None = None) -> Dataset:
    """The collection as a Dataset, or a DataError that names every kind of mistake in it."""
    notes: list[str] = []
    empty = [document.id for document in raw.documents if not document.text.strip() and not document.page]
    if empty and card.drop_empty:
        raw.documents = [document for document in raw.documents if document.text.strip() or document.page]
        raw.qrels = [qrel for qrel in raw.qrels if qrel.doc_id not in set(empty)]
        notes.append(f"{len(empty):,} documents without text left out")
    _check(raw, [] if card.drop_empty else empty)
    _sort(raw)
    judged = list(dict.fromkeys(raw.qrels))
    if len(judged) < len(raw.qrels):
        notes.append(f"{len(raw.qrels) - len(judged):,} judgments given twice count once")
    pairs = exclusion.shared(raw.documents, raw.queries)
    excluded = exclusion.excluded(pairs, card.same_ids_are_same)
    raw.qrels = [qrel for qrel in judged if qrel.doc_id not in excluded.get(qrel.query_id, ())]
    if len(raw.qrels) < len(judged):
        notes.append(f"{len(judged) - len(raw.qrels):,} judgments of excluded documents left out")
    relevant = {qrel.query_id for qrel in raw.qrels if qrel.relevance > 0}
    queries = [query for query in raw.queries if query.id in relevant]
    if not queries:
        raise DataError(f"dataset {card.name!r}, split {split!r}: no query has a relevant document")
    if without := len({qrel.query_id for qrel in judged} - relevant):
        notes.append(f"{without:,} judged queries without a relevant document left out")
    if limit is not None and limit < len(queries):
        notes.append(f"limited to the first {limit:,} of {len(queries):,} queries")
        queries = queries[:limit]
    kept = {query.id for query in queries}
    pairs = {name: same for name, same in pairs.items() if name in kept}
    excluded = exclusion.excluded(pairs, card.same_ids_are_same)
    notes += exclusion.notes(pairs, card.same_ids_are_same)
    qrels = [qrel for qrel in raw.qrels if qrel.query_id in kept]
    fingerprint = _fingerprint(raw.version, raw.documents, queries, qrels, excluded)
    return Dataset(card.name, split, raw.documents, queries, qrels, fingerprint, notes, excluded)


def _sort(raw: Collection) -> None:
    """Everything in the order of its ids, shorter ones first, so that numbers count up: no figure depends on the order
    of lines in a file."""

    def place(name: str) -> tuple[int, str]:
        return len(name), name

    raw.documents.sort(key=lambda document: place(document.id))
    raw.queries.sort(key=lambda query: place(query.id))
    raw.qrels.sort(key=lambda qrel: (place(qrel.query_id), place(qrel.doc_id)))


def _check(raw: Collection, empty: Sequence[str]) -> None:
    problems = raw.problems
    kinds: tuple[tuple[str, Any, set[str]], ...] = (
        ("document", raw.documents, {qrel.doc_id for qrel in raw.qrels}),
        ("query", raw.queries, {qrel.query_id for qrel in raw.qrels}),
    )
    for noun, items, judged in kinds:
        counts = Counter(item.id for item in items)
        if twice := [name for name, count in counts.items() if count > 1]:
            problems.add(f"{len(twice):,} {noun} ids given twice: {examples(twice)}")
        if spaced := [name for name in counts if not name or any(letter.isspace() for letter in name)]:
            problems.add(f"{noun} ids empty or with a space, which a TREC run cannot hold: {examples(spaced)}")
        if broken := [item.id for item in items if not _encodable(item.id + item.text)]:
            problems.add(f"{len(broken):,} {noun} texts or ids with half a surrogate pair: {examples(broken)}")
        if lost := sorted(judged - counts.keys()):
            way = raw.lost if noun == "document" else ""
            problems.add(f"{len(lost):,} {noun} ids judged but not in the collection: {examples(lost)}{way}")
    grades = Counter(
        (query_id, doc_id) for query_id, doc_id, _ in {(q.query_id, q.doc_id, q.relevance) for q in raw.qrels}
    )
    if torn := [pair for pair, count in grades.items() if count > 1]:
        problems.add(f"{len(torn):,} pairs of query and document judged with different grades: {examples(torn)}")
    if empty:
        way = "remove them, or set drop_empty: true in the dataset's card"
        problems.add(f"{len(empty):,} documents without text: {examples(empty)}; {way}")
    if silent := [query.id for query in raw.queries if not query.text.strip()]:
        problems.add(f"{len(silent):,} queries without text: {examples(silent)}; remove them")
    problems.stop(DataError)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fingerprint(
    version: str,
    documents: Sequence[Document],
    queries: Sequence[Query],
    qrels: Sequence[Qrel],
    excluded: Mapping[str, frozenset[str]],
) -> str:
    made = hashlib.sha256(version.encode())
    judged = ((qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in qrels)
    never = [(name, *sorted(excluded[name])) for name in sorted(excluded)]
    for part in (map(content, documents), map(content, queries), judged, *([never] if never else [])):
        for piece in json_list(part):
            made.update(piece)
    return made.hexdigest()[:16]
