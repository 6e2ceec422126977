"""Zip archives of a dataset: members that would leave the folder, links, damage, and more than they seem to hold."""

from __future__ import annotations

import io
import stat
import zipfile

from fuzzing.judging import TARGETS, Place, Target
from fuzzing.mutating import Files
from harness.corpora.origins.archive import unpack

NAMES = ["toy/corpus.jsonl", "toy/qrels/test.tsv", "toy/aaaaaaaaaaaa"]


def opened(place: Place) -> None:
    """Whatever the archive holds, only the folder is written to."""
    folder = unpack(place.given / "toy.zip", place.output / "toy")
    assert all(not path.is_symlink() for path in folder.rglob("*"))


def _archives(_: Place) -> list[Files]:
    made: list[Files] = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", method) as bundle:
            for name in NAMES:
                info = zipfile.ZipInfo(name)
                info.external_attr = (stat.S_IFREG | 0o644) << 16
                bundle.writestr(info, b'{"_id": "d1", "text": "x"}\n' * 8, method)
        made.append({"toy.zip": held.getvalue()})
    return made


TARGETS.register("archives")(Target(_archives, opened, listed=True))
