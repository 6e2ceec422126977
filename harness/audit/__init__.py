"""The laws of a correct late-interaction scorer, pointed at anyone's: ``audit("pylate")``.

It needs numpy alone, so that it runs in the environment of the scorer: ``python -m harness.audit pylate``.
"""

from harness.audit.examining import Audit, Counterexample, Result, audit
from harness.audit.laws import LAWS
from harness.audit.scorers import SCORERS, Scorer

__all__ = ["LAWS", "SCORERS", "Audit", "Counterexample", "Result", "Scorer", "audit"]
