"""From a finished run to what a report holds of it: one file a command, registered under the command's name."""

from harness.reports.sections import compare, eval, gradients, stress, synth
from harness.reports.sections.base import SECTIONS, section

__all__ = ["SECTIONS", "compare", "eval", "gradients", "section", "stress", "synth"]
