"""What a report can be written as. A format yields (file name, content) of a report; it writes nothing."""

from harness.reports.formats import csv, exports, images, latex, markdown, page
from harness.reports.formats.base import FORMATS, Files

__all__ = ["FORMATS", "Files", "csv", "exports", "images", "latex", "markdown", "page"]
