"""JSON files of a checkpoint: read, and checked for the kinds of their values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.encoders.files import check_pointers
from harness.errors import DataError, first_line


def settings(path: Path, kind: type = dict) -> Any:
    """A JSON file's content: an object, or what kind says. Raises DataError naming the file."""
    check_pointers(path.parent, [path.name])
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    if not isinstance(found, kind):
        raise DataError(f"{path} cannot be read: it holds no JSON {'object' if kind is dict else 'list'}")
    return found


def chosen(path: Path, written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """What a file says for these keys, or the default. Raises DataError naming the file and values of another kind."""
    metadata = {key: default if written.get(key) is None else written[key] for key, default in defaults.items()}
    if wrong := [key for key, default in defaults.items() if type(metadata[key]) is not type(default)]:
        raise DataError(f"{path}: {', '.join(f'{key} is {metadata[key]!r}' for key in wrong)}; is the file damaged?")
    return metadata
