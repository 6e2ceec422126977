"""From what was read to a judged collection: what is an error, what is a note, and what ``--strict`` changes.

Errors are for what is ambiguous: one id with two texts, one pair with two grades, judgments of which none fits. All
else is read, and said. A judgment of a document that is not there is kept: it counts as a miss, as trec_eval has it.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

from harness.corpora import exclusion
from harness.corpora.cards import Card
from harness.corpora.collection import Collection
from harness.corpora.documents import Documents, encodable, in_memory
from harness.corpora.notes import Named, Notes, counted
from harness.errors import DataError, Problems, examples
from harness.files import json_list
from harness.records import Dataset, Qrel, Query, content
from harness.trec import unfit


def checked(card: Card, split: str, raw: Collection, limit: int | None = None, strict: bool = False) -> Dataset:
    """The collection as a Dataset, in the order of its ids: no figure depends on the order of lines in a file.

    limit: keep the first queries; strict: what is untidy is an error.
    Raises DataError with everything that is wrong.
    """
    problems, notes = raw.problems, raw.notes
    documents = raw.documents if isinstance(raw.documents, Documents) else in_memory(raw.documents)
    summary = documents.summary
    _say_repeated("document", summary.again, summary.torn, problems, notes)
    queries = _once(raw.queries, problems, notes)
    _say_broken(summary.broken, problems)
    _say_broken([query.id for query in queries if not encodable(query.id + query.text)], problems)
    qrels = _judged_once(raw.qrels, problems, notes)
    problems.stop(DataError)
    queries.sort(key=lambda query: _place(query.id))
    qrels.sort(key=lambda qrel: (_place(qrel.query_id), _place(qrel.doc_id)))
    if summary.blank:
        what = f"{counted(len(summary.blank), 'document')} without text, never retrieved"
        notes.mend(what, summary.blank, ": judgments of them count as misses")
    qrels = _of_queries(qrels, queries, raw, problems, notes)
    _of_documents(qrels, documents, problems, notes)
    problems.stop(DataError)
    dataset = _assemble(card, split, raw, documents, queries, qrels, limit)
    if strict and notes.untidy:
        raise DataError(*(f"dataset {card.name!r}: {note}; leave --strict out to read it" for note in notes.untidy))
    return dataset


def _place(name: str) -> tuple[int, str]:
    """Shorter ids first, so that numbers count up."""
    return len(name), name


def _assemble(
    card: Card,
    split: str,
    raw: Collection,
    documents: Documents,
    queries: Sequence[Query],
    qrels: Sequence[Qrel],
    limit: int | None,
) -> Dataset:
    """Judgments of excluded documents and queries without a relevant document left out, the others limited."""
    notes, pairs = raw.notes, exclusion.shared(documents, queries)
    excluded = _joined(raw.excluded, exclusion.excluded(pairs, card.same_ids_are_same))
    judged = [qrel for qrel in qrels if qrel.doc_id not in excluded.get(qrel.query_id, ())]
    if len(judged) < len(qrels):
        notes.say(f"{counted(len(qrels) - len(judged), 'judgment')} of excluded documents left out")
    relevant = {qrel.query_id for qrel in judged if qrel.relevance > 0}
    chosen = [query for query in queries if query.id in relevant]
    if not chosen:
        raise DataError(f"dataset {card.name!r}, split {split!r}: no query has a relevant document")
    if without := sorted({qrel.query_id for qrel in qrels} - relevant):
        notes.say(f"{counted(len(without), 'judged query')} without a relevant document left out", without)
    if silent := [query.id for query in chosen if not query.text.strip()]:
        raise DataError(f"{counted(len(silent), 'judged query')} without text: {examples(silent)}; remove them")
    if limit is not None and limit < len(chosen):
        notes.say(f"limited to the first {limit:,} of {counted(len(chosen), 'query')}")
        chosen = chosen[:limit]
    chosen_ids = {query.id for query in chosen}
    exclusion.say({name: same for name, same in pairs.items() if name in chosen_ids}, card.same_ids_are_same, notes)
    encoded = Named()
    for name in itertools.chain((query.id for query in chosen), documents.ids()):
        if unfit(name):
            encoded.add(name)
    if encoded:
        notes.mend(f"{counted(len(encoded), 'id')} percent-encoded in TREC files, verbatim elsewhere", encoded)
    judged = [qrel for qrel in judged if qrel.query_id in chosen_ids]
    excluded = {name: never for name, never in excluded.items() if name in chosen_ids}
    fingerprint = _fingerprint(raw.version, documents, chosen, judged, excluded)
    return Dataset(card.name, split, documents, chosen, judged, fingerprint, notes.all, excluded)


def _joined(left: Mapping[str, frozenset[str]], right: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {name: left.get(name, frozenset()) | right.get(name, frozenset()) for name in [*left, *right]}


def _once(items: Sequence[Query], problems: Problems, notes: Notes) -> list[Query]:
    """Every query once: the same text again is left out, another text is a mistake."""
    known: dict[str, Query] = {}
    for item in items:
        known.setdefault(item.id, item)
    repeated = [item for item in items if known[item.id] is not item]
    again = [item.id for item in repeated if item == known[item.id]]
    torn = [item.id for item in repeated if item != known[item.id]]
    _say_repeated("query", again, torn, problems, notes)
    return list(known.values())


def _say_repeated(
    noun: str, again: Named | Sequence[str], torn: Named | Sequence[str], problems: Problems, notes: Notes
) -> None:
    if torn:
        what = f"{counted(len(torn), f'{noun} id')} given twice with different texts"
        problems.add(f"{what}: {examples(torn)}; keep one of each")
    if again:
        notes.mend(f"{counted(len(again), noun)} given twice with the same text read once", again)


def _say_broken(names: Named | Sequence[str], problems: Problems) -> None:
    if names:
        problems.add(f"{counted(len(names), 'text')} or ids with half a surrogate pair: {examples(names)}; mend them")


def _judged_once(qrels: Sequence[Qrel], problems: Problems, notes: Notes) -> list[Qrel]:
    """Every judgment once; a pair with two grades is a mistake."""
    once = list(dict.fromkeys(qrels))
    if len(once) < len(qrels):
        notes.mend(f"{counted(len(qrels) - len(once), 'judgment')} given twice read once")
    grades: dict[tuple[str, str], int] = {}
    torn = [
        (one.query_id, one.doc_id)
        for one in once
        if grades.setdefault((one.query_id, one.doc_id), one.relevance) != one.relevance
    ]
    if torn:
        what = f"{len(set(torn)):,} pairs of query and document judged with different grades"
        problems.add(f"{what}: {examples(dict.fromkeys(torn))}; keep one judgment of each")
    return once


def _of_queries(
    qrels: Sequence[Qrel], queries: Sequence[Query], raw: Collection, problems: Problems, notes: Notes
) -> list[Qrel]:
    """Judgments of queries that are there."""
    known = {query.id for query in queries}
    judged = list(dict.fromkeys(qrel.query_id for qrel in qrels if qrel.query_id not in raw.aside))
    lost = [name for name in judged if name not in known]
    if lost and len(lost) == len(judged):
        problems.add(
            f"none of the {counted(len(judged), 'judged query')} is in the collection: {examples(lost)}"
            f"{difference(lost, lambda: known)}"
        )
    elif lost:
        share = f"{len(lost) / len(judged):.1%}"
        notes.mend(
            f"{len(lost):,} of {counted(len(judged), 'judged query')} ({share}) not in the collection left out", lost
        )
    return [qrel for qrel in qrels if qrel.query_id in known]


def _of_documents(qrels: Sequence[Qrel], documents: Documents, problems: Problems, notes: Notes) -> None:
    """What is to be said of judged documents that are not there; that all are not is a mistake."""
    judged = dict.fromkeys(qrel.doc_id for qrel in qrels)
    known, empty = {name for name in documents.ids() if name in judged}, set(documents.summary.blank)
    lost = [name for name in judged if name not in known]
    if lost and len(lost) == len(judged):
        what = f"none of the {counted(len(judged), 'judged document')} is in the collection: {examples(lost)}"
        why = "; none of them has a text" if empty.issuperset(lost) else difference(lost, documents.ids)
        problems.add(f"{what}{why}")
    elif lost := [name for name in lost if name not in empty]:
        share = f"{len(lost) / len(judged):.1%}"
        what = f"{len(lost):,} of {counted(len(judged), 'judged document')} ({share}) not in the collection"
        notes.mend(what, lost, ": counted as misses")


FOLDS: dict[str, Callable[[str], str]] = {
    "upper and lower case": str.casefold,
    "white space around them": str.strip,
    "their Unicode form": lambda name: unicodedata.normalize("NFKC", name),
    "leading zeros": lambda name: name.lstrip("0") or "0",
    "an ending such as .0": lambda name: name.removesuffix(".0"),
    "a prefix": lambda name: name.lstrip("".join(set(name) - set("0123456789"))) or name,
    "a file's ending": lambda name: name.rpartition(".")[0] or name,
}


def difference(
    lost: Iterable[str], known: Callable[[], Iterable[str]], used: str = "judged", use: str = "judge"
) -> str:
    """In what ids that were not found differ from those that are there, and what to do.

    known: walks the ids that are there. used, use: what is done with the ids that were not found.
    """
    lost = list(lost)
    for what, fold in FOLDS.items():
        wanted = {fold(name) for name in lost}
        folded = {key: name for name in known() if (key := fold(name)) in wanted}
        if pair := next(((name, folded[fold(name)]) for name in lost if fold(name) in folded), None):
            return f"; ids differ in {what}: {used} {pair[0]!r}, given {pair[1]!r}; write both alike"
    if (first := min(known(), default=None)) is None:
        return "; there is none at all"
    return f"; given are {examples([first])}, …; {use} the ids that are given"


def _fingerprint(
    version: str,
    documents: Documents,
    queries: Sequence[Query],
    qrels: Sequence[Qrel],
    excluded: Mapping[str, frozenset[str]],
) -> str:
    digest = hashlib.sha256(version.encode())
    judged = ((qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in qrels)
    never = [(name, *sorted(excluded[name])) for name in sorted(excluded)]
    for part in (map(content, documents), map(content, queries), judged, *([never] if never else [])):
        for piece in json_list(part):
            digest.update(piece)
    return digest.hexdigest()[:16]
