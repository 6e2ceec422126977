"""From sound files to hostile ones: bytes, values and names are flipped, cut, doubled, swapped and replaced."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True)
class Link:
    """In the place of a file's bytes: a symbolic link."""

    target: str


Files = dict[str, bytes | Link]
"""Relative path → content."""

WORDS = [
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "\x1b[2J",
    "\x7f",
    "\u202e",
    "\u2028",
    "\ufeff",
    "\udc80",
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "..",
    "../../evil",
    "/etc/passwd",
    "C:\\evil",
    "a/b\\c",
    "~",
    "CON",
    "x" * 100_000,
    "é" * 300,
    "9" * 400,
    "-1",
    "0",
    "1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "0x_",
    "1_0",
    "٣",
    "²",
    "null",
    "true",
    "[]",
    "{}",
    "2020-99-99",
    "2024-01-01",
    "%s%n",
    "{0}",
    "$(touch evil)",
    "`touch evil`",
    "'",
    '"',
    "\\",
    ",",
    ":",
    "=",
    "|",
    "#",
    "---",
    "@",
    "*",
    "&a",
    "maxsim",
    "topk:4",
    "embeddings:/",
    "embeddings:..",
    "org/model",
    "!!python/object/apply:os.system ['touch evil']",
    "- &a [*a]",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    10**9,
    10**30,
    1.5,
    -0.0,
    1e300,
    float("nan"),
    float("inf"),
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"a": {"b": []}},
    ["a", 1],
    *WORDS,
]
ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{at}: &a{at} [*a{at - 1}, *a{at - 1}, *a{at - 1}]\n" for at in range(1, 40))
WHOLES = [
    b"",
    b"\0" * 64,
    b"null",
    b"[]",
    b"{}",
    b"0",
    b'""',
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"- " * 20_000,
    ALIASES.encode(),
    b"a: &a [*a]",
    b"<<: {a: b}",
    b"? " * 5_000,
    b"%YAML 9.9\n---",
    b"x" * 300_000,
    b"\n" * 50_000,
    b"PK\x05\x06" + b"\0" * 18,
]


def encoded(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def flip(data: bytes, draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 4, 32)) if made else 0):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def _span(data: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + draw.choice((1, 2, 8, 64, 1024)))


def cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def drop(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    return data[:start] + data[stop:]


def double(data: bytes, draw: random.Random) -> bytes:
    start, stop = _span(data, draw)
    return data[:stop] + data[start:stop] * draw.choice((1, 1, 3)) + data[stop:]


def insert(data: bytes, draw: random.Random) -> bytes:
    start, _ = _span(data, draw)
    return data[:start] + encoded(draw.choice(WORDS)) + data[start:]


def word(data: bytes, draw: random.Random) -> bytes:
    """Another word in the place of one."""
    places = [found.span() for found in re.finditer(rb"[^\s,:;\"'\[\]{}=]+", data[:200_000])]
    if not places:
        return insert(data, draw)
    start, stop = draw.choice(places)
    other = places[draw.randrange(len(places))]
    new = data[slice(*other)] if draw.random() < 0.3 else encoded(draw.choice(WORDS))
    return data[:start] + new + data[stop:]


def lines(data: bytes, draw: random.Random) -> bytes:
    """Lines swapped, doubled, left out or joined."""
    parts = data.split(b"\n")
    at, to = draw.randrange(len(parts)), draw.randrange(len(parts))
    kind = draw.randrange(4)
    if kind == 0:
        parts[at], parts[to] = parts[to], parts[at]
    elif kind == 1:
        parts.insert(to, parts[at])
    elif kind == 2:
        del parts[at]
    return (b"\r" if kind == 3 else b"\n").join(parts)


def whole(data: bytes, draw: random.Random) -> bytes:
    made = draw.choice(WHOLES)
    return made if draw.random() < 0.8 else data.decode("utf-8", "replace").encode(draw.choice(("utf-16", "utf-32")))


BYTES: list[Callable[[bytes, random.Random], bytes]] = [flip, cut, drop, double, insert, word, word, word, lines]


def on_bytes(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.05:
        return whole(data, draw)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(BYTES)(data, draw)
    return data


def on_value(value: Any, draw: random.Random) -> Any:
    """Plain data with one node replaced, left out, renamed or doubled."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        made, kind = dict(value), draw.random()
        if kind < 0.7:
            made[key] = on_value(value[key], draw)
        elif kind < 0.85:
            del made[key]
        else:
            made[draw.choice(WORDS)] = made.pop(key)
        return made
    if isinstance(value, list) and value and draw.random() < 0.85:
        at, kind = draw.randrange(len(value)), draw.random()
        rest = {0: [on_value(value[at], draw)], 1: [], 2: [value[at]] * 2}[0 if kind < 0.7 else 1 if kind < 0.85 else 2]
        return [*value[:at], *rest, *value[at + 1 :]]
    return draw.choice(VALUES)


def on_json(data: bytes, draw: random.Random) -> bytes:
    return encoded(json.dumps(on_value(json.loads(data), draw), ensure_ascii=draw.random() < 0.5))


def on_rows(data: bytes, draw: random.Random) -> bytes:
    """One row of JSON lines."""
    rows = data.splitlines()
    at = draw.randrange(len(rows))
    rows[at] = on_json(rows[at], draw)
    return b"\n".join(rows)


def on_yaml(data: bytes, draw: random.Random) -> bytes:
    return encoded(yaml.dump(on_value(yaml.safe_load(data), draw), allow_unicode=True))


def on_gzip(data: bytes, draw: random.Random) -> bytes:
    return gzip.compress(on_bytes(gzip.decompress(data), draw), 1, mtime=0)


def on_parquet(data: bytes, draw: random.Random) -> bytes:
    """A table with a column left out, renamed, doubled into another kind, or with strange values."""
    import pandas as pd

    table = pd.read_parquet(io.BytesIO(data))
    name, kind = draw.choice(list(table.columns)), draw.randrange(5)
    if kind == 0:
        table = table.drop(columns=name)
    elif kind == 1:
        table = table.rename(columns={name: draw.choice(("", "other", "x" * 1000, "query_id"))})
        table = table.loc[:, ~table.columns.duplicated()]
    elif kind == 2:
        table[name] = draw.choice(VALUES[2:9])
    elif kind == 3:
        table[name] = encoded(draw.choice(WORDS)).decode("utf-8", "replace")
    else:
        table = table.sample(n=draw.randrange(len(table) + 1), replace=True, random_state=draw.randrange(1000))
    content = io.BytesIO()
    table.to_parquet(content, index=False)
    return content.getvalue()


ENDINGS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": on_json,
    ".jsonl": on_rows,
    ".yaml": on_yaml,
    ".gz": on_gzip,
    ".parquet": on_parquet,
}


def on_file(name: str, data: bytes, draw: random.Random) -> bytes:
    """Half of the time by what the file holds, where that is known; else as bytes."""
    by_kind = ENDINGS.get(f".{name.rpartition('.')[2]}")
    if by_kind and draw.random() < 0.5:
        try:
            return by_kind(data, draw)
        except Exception:  # an earlier mutation made it unreadable, or this one unwritable: bytes will do
            pass
    return on_bytes(data, draw)


def mutated(files: Files, draw: random.Random, listed: bool = False) -> Files:
    """The files with one or two changed or, unless the names are listed, left out, turned into a link or joined by
    another."""
    made = dict(files)
    for _ in range(draw.randint(1, 2)):
        name = draw.choice(sorted(made)) if made else "new"
        content, kind = made.get(name, b""), 0.0 if listed else draw.random()
        if kind < 0.9 and isinstance(content, bytes):
            made[name] = on_file(name, content, draw)
        elif kind < 0.94:
            made.pop(name, None)
        elif kind < 0.97:
            made[name] = Link(draw.choice(("/etc/passwd", "/dev/null", "..", name.rpartition("/")[2], "gone")))
        else:
            made[f"{name.rpartition('/')[0]}/{draw.choice(NAMES)}".lstrip("/")] = content
    return made


NAMES = [
    "new",
    "<b>x",
    "a b.tsv",
    "x\n.yaml",
    "\u202eevil.yaml",
    "é" * 60,
    ".hidden",
    "new.yaml",
    "new.jsonl",
    "new.tsv",
]
