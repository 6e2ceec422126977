"""Page images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from harness.errors import DataError, first_line

FORMATS = ("PNG", "JPEG", "WEBP")  # a decoder that is not needed is not opened


def image(path: Path, data: bytes | None = None) -> Any:
    """A page image, decoded whole: a PIL image. data: its bytes, where path is only their name.

    Raises DataError if it is no image of FORMATS or is cut off.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise DataError("page images need Pillow: pip install pillow") from None
    try:
        with Image.open(path if data is None else io.BytesIO(data), formats=FORMATS) as opened:
            opened.load()
            return opened
    except Exception as error:  # Pillow's decoders raise what they like on damaged files
        kind = "no PNG, JPEG or WebP image" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise DataError(f"{path} cannot be read ({kind}); make it again") from None
