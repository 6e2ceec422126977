"""What the files of a finished run hold: one that holds anything else is damaged or was changed.

Whoever reads a run checks it here, inside of ``runs.readable``; what is raised later is a fault of the program.
"""

from harness.schemas.manifests import RANKED, check_manifest
from harness.schemas.tables import agree, check, current

__all__ = ["RANKED", "agree", "check", "check_manifest", "current"]
