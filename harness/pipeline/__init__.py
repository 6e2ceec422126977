"""The commands, end to end: the only room that knows all others. One file a command."""

from harness.pipeline.evaluation import Evaluation, evaluate
from harness.pipeline.mechanism import Gradients, gradients
from harness.pipeline.robustness import Stress, stress

__all__ = ["Evaluation", "Gradients", "Stress", "evaluate", "gradients", "stress"]
