"""``python -m validation.readmes``: write every page from its template; say which changed."""

from __future__ import annotations

import sys

from validation.readmes.cells import CellError
from validation.readmes.pages import ROOT, StaleError, write

try:
    for path in write(ROOT):
        print(path.relative_to(ROOT))
except (CellError, StaleError) as error:
    sys.exit(str(error))
