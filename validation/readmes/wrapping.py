"""Prose of a Markdown page in lines of equal length, whatever figures stand in it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

WIDTH = 120
FENCE = re.compile(r"```")
AS_IT_IS = re.compile(r"\||#|<!--|!\[")  # rows of tables, headings, comments, pictures
ITEM = re.compile(r"[-*+] |\d+\. ")
MARKUP = re.compile(r">|([-+*=#|]|\d+[.)])(\s|$)")  # what would no longer be a word at the start of a line
CODE = re.compile(r"`[^`]+`")
GLUE = "\0"


def wrapped(page: str) -> str:
    """The page with its paragraphs and list items filled to WIDTH; code, tables and headings stay."""
    return "\n".join(lines(page.split("\n")))


def lines(page: list[str]) -> Iterator[str]:
    block: list[str] = []
    code = False
    for line in page:
        fence, plain = bool(FENCE.match(line)), bool(AS_IT_IS.match(line)) or not line.strip()
        if code or fence or plain:
            yield from filled(block)
            block = []
            yield line
        elif ITEM.match(line):
            yield from filled(block)
            block = [line]
        else:
            block.append(line)
        code ^= fence
    yield from filled(block)


def filled(block: list[str]) -> list[str]:
    """One paragraph or list item; a list item's further lines are indented as its text is."""
    if not block:
        return []
    item = ITEM.match(block[0])
    indent = " " * len(item[0]) if item else ""
    made: list[str] = []
    text = " ".join(line.strip() for line in block)
    for line in textwrap.wrap(
        CODE.sub(lambda code: code[0].replace(" ", GLUE), text),  # no line ends in the middle of code
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        if made and MARKUP.match(line.strip()):
            made[-1] += f" {line.strip()}"
        else:
            made.append(line)
    return [line.replace(GLUE, " ") for line in made]
