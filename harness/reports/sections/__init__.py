"""From a finished run to what a report holds of it: one file a command, registered under the command's name."""

from harness.reports.sections import compare, evaluation, gradients, stress, synth
from harness.reports.sections.base import SECTIONS, section

__all__ = ["SECTIONS", "compare", "evaluation", "gradients", "section", "stress", "synth"]
