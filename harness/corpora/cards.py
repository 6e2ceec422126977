"""Dataset cards: what a ``NAME.yaml`` says of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.errors import DataError, first_line, unknown
from harness.files import plain_yaml


@dataclass(frozen=True)
class Card:
    """What a ``NAME.yaml`` says of a dataset.

    source: a registered source or layout, "" in a card of a folder; splits: the judged splits, the default first;
    url, md5: where ``beir`` downloads it, and the published checksum; hub, revision, path: where ``hub`` downloads it,
    and the folder inside that is meant; irds: its id in ir_datasets, where ``{split}`` stands for the split; group: the
    benchmark it is of, which ``harness list`` shows in one line; documents, queries: how many, of the default split;
    query_length, document_length: the usual limits in patches of published ColBERT runs; checkpoint: the encoder used
    where none is asked for; world: what a ``synthetic`` world differs in from the study's.

    How a folder is read: same_ids_are_same: a query's id names the document that it is, which is never its candidate,
    though their texts may differ; relevant_from: judgments from this grade on are relevant; keep: column → value of the
    rows that are kept; config: of several sets of tables, such as ``en`` of ``en-corpus``; drop_empty: has no effect
    now, documents without text are never retrieved.
    """

    name: str
    source: str = ""
    description: str = ""
    group: str = ""
    splits: Sequence[str] = ("test",)
    url: str | None = None
    md5: str | None = None
    hub: str | None = None
    revision: str | None = None
    path: str | None = None
    irds: str | None = None
    documents: int | None = None
    queries: int | None = None
    query_length: int | None = None
    document_length: int | None = None
    licence: str = ""
    drop_empty: bool = False
    same_ids_are_same: bool = False
    relevant_from: float | None = None
    keep: Mapping[str, Any] = field(default_factory=dict)
    config: str | None = None
    checkpoint: str | None = None
    world: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is kept; one without the columns is."""
        return all(
            column not in row or row[column] in (wanted if isinstance(wanted, list) else [wanted])
            for column, wanted in self.keep.items()
        )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not set(value) & set("/\\")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0)


CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "splits": (
        lambda value: isinstance(value, list | tuple) and bool(value) and all(map(_is_name, value)),
        "a list of names, the default first, such as [test, train]",
    ),
    "drop_empty": (lambda value: isinstance(value, bool), "true or false"),
    "same_ids_are_same": (lambda value: isinstance(value, bool), "true or false"),
    "relevant_from": (_is_number, "a number"),
    "irds": (lambda value: value is None or isinstance(value, str), "an id of ir_datasets"),
    "group": (lambda value: isinstance(value, str), "a benchmark's name"),
    "documents": (_is_count, "a whole number"),
    "queries": (_is_count, "a whole number"),
    "keep": (
        lambda value: isinstance(value, dict) and all(isinstance(key, str) for key in value),
        "columns and the values kept, such as {language: english}",
    ),
    "config": (lambda value: value is None or _is_name(value), "a name, such as en for en-corpus"),
}


def read_card(path: Path, sources: Iterable[str]) -> Card:
    """A dataset card. Raises DataError naming the file and the key that is wrong. sources: those that there are."""
    try:
        given: Any = plain_yaml(path)
        card = Card(name=path.stem, **given)
        if card.source and card.source not in sources:
            raise ValueError(unknown("source", str(card.source), sources))
        for key, (right, wanted) in CHECKS.items():
            if not right(getattr(card, key)):
                raise ValueError(f"{key} must be {wanted}, not {getattr(card, key)!r}")
    except (yaml.YAMLError, TypeError, ValueError, OSError, RecursionError) as error:
        raise DataError(f"dataset card {path}: {first_line(error).replace('Card.__init__() ', '')}") from None
    return card
