"""The commands, end to end: the only room that knows all others. One file a command."""

from harness.pipeline.comparing import compare
from harness.pipeline.evaluation import evaluate
from harness.pipeline.mechanism import gradients
from harness.pipeline.robustness import stress
from harness.pipeline.study import synth
from harness.pipeline.tuning import train

__all__ = ["compare", "evaluate", "gradients", "stress", "synth", "train"]
