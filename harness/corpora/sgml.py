"""TREC's documents and topics: records between tags, in SGML or XML, of which neither has to be sound.

A document is what stands between ``<DOC>`` and ``</DOC>``: its ``DOCNO``, its ``TITLE`` or ``HEADLINE``, and its
``TEXT`` or, without one, all else. A topic is what stands between ``<top>`` and ``</top>``, where tags need no end and
a field may begin with its name (``<num> Number: 301``), or a ``<topic number="1">`` with a ``title``, a ``query`` or
text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

from harness.corpora.lines import Reading, opened

RECORD = re.compile(r"<(doc|top|topic)(\s[^<>]*)?>", re.IGNORECASE)
MARK = re.compile(rb"<(doc|top|topic|topics)(\s[^<>]*)?>", re.IGNORECASE)
TAG = re.compile(r"</?[A-Za-z][\w.-]*(\s[^<>]*)?/?>")
ENTITY = re.compile(r"&(#\d+|#x[0-9a-fA-F]+|\w+);")
IDS = {"doc": ("docno", "docid", "id"), "top": ("num", "number", "id"), "topic": ("num", "number", "id")}
TITLES = ("title", "headline", "hl", "ttl")
ASKED = ("title", "query", "question")
LABEL = re.compile(r"^\s*(Number|Topic|Title|Query)\s*:\s*", re.IGNORECASE)
LONGEST = 1 << 28  # letters of a record; one that does not end would be all of the file


def is_sgml(path: Path) -> bool:
    """Whether a file begins as TREC's do."""
    try:
        with opened(path) as file:
            return bool(MARK.search(file.read(4096)))
    except (OSError, EOFError, ValueError):
        return False


def records(path: Path, reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, id, title and text) of every record of a file; those without an id are wrong."""
    for number, kind, attributes, inside in _blocks(path, reading):
        if reading.full(number):
            return
        fields = _fields(inside) | {
            name.lower(): value for name, value in re.findall(r"([\w-]+)=[\"']([^\"']*)", attributes)
        }
        name = next((LABEL.sub("", fields[one]).strip() for one in IDS[kind] if fields.get(one, "").strip()), "")
        if not name:
            reading.add(number, f"a <{kind}> without {' or '.join(one.upper() for one in IDS[kind][:2])}")
        elif kind == "doc":
            title = next((fields[one] for one in TITLES if one in fields), "")
            yield number, {"id": name, "title": title.strip(), "text": _text(inside, fields)}
        else:
            asked = next((fields[one] for one in ASKED if fields.get(one, "").strip()), None)
            yield number, {"id": name, "text": LABEL.sub("", asked or _plain(inside)).strip()}


def _blocks(path: Path, reading: Reading) -> Iterator[tuple[int, str, str, str]]:
    """(line, kind, attributes, what is inside) of every record."""
    held: list[str] = []
    kind, attributes, begin, size = "", "", 0, 0
    with opened(path) as file:
        for number, raw in enumerate(file, 1):
            line = _decoded(raw)
            while line:
                if not kind:
                    if (found := RECORD.search(line)) is None:
                        break
                    kind, attributes, begin, held, size = found[1].lower(), found[2] or "", number, [], 0
                    line = line[found.end() :]
                end = re.search(rf"</{kind}\s*>", line, re.IGNORECASE)
                held.append(line[: end.start()] if end else line)
                size += len(held[-1])
                if size > LONGEST:
                    reading.add(begin, f"a <{kind}> that does not end")
                    return
                line = line[end.end() :] if end else ""
                if end:
                    yield begin, kind, attributes, "".join(held)
                    kind = ""
    if kind:
        reading.add(begin, f"a <{kind}> that does not end; write </{kind}> after it")


def _decoded(raw: bytes) -> str:
    """UTF-8, or Latin-1 as TREC's disks have it."""
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _fields(inside: str) -> dict[str, str]:
    """The first text after each tag, up to the tag's end or the next tag; tags in lower case."""
    found: dict[str, str] = {}
    for match in re.finditer(r"<([A-Za-z][\w.-]*)(?:\s[^<>]*)?>", inside):
        name = match[1].lower()
        if name not in found:
            end = re.compile(rf"</{re.escape(name)}\s*>", re.IGNORECASE).search(inside, match.end())
            following = TAG.search(inside, match.end())
            stop = end.start() if end else following.start() if following else len(inside)
            found[name] = _plain(inside[match.end() : stop])
    return found


def _text(inside: str, fields: dict[str, str]) -> str:
    """The contents of all TEXT elements, or all that is not the id or the title."""
    parts = re.findall(r"<text(?:\s[^<>]*)?>(.*?)</text\s*>", inside, re.IGNORECASE | re.DOTALL)
    if parts:
        return "\n".join(_plain(part) for part in parts)
    for name in (*IDS["doc"], *TITLES):
        if name in fields:
            inside = re.sub(
                rf"<{name}(\s[^<>]*)?>.*?</{name}\s*>", " ", inside, count=1, flags=re.IGNORECASE | re.DOTALL
            )
    return _plain(inside)


def _plain(text: str) -> str:
    return ENTITY.sub(lambda match: unescape(match[0]), TAG.sub(" ", text)).strip()
