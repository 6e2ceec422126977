"""The scoring pass: every aggregator at every length from one multiplication of each document."""

from harness.scoring.sweep import sweep

__all__ = ["sweep"]
