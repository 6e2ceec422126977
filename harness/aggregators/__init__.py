"""Aggregators: mergeable summaries of a stream of similarities. To add one, add a file here; nothing else."""

import importlib
import pkgutil

from harness.aggregators.base import AGGREGATORS, MASKED, Aggregator, aggregator, masked_mean, real

__all__ = ["AGGREGATORS", "MASKED", "Aggregator", "aggregator", "masked_mean", "real"]

for _module in pkgutil.iter_modules(__path__):
    if _module.name != "laws":  # which needs torch; what only names aggregators does not wait for it
        importlib.import_module(f"{__name__}.{_module.name}")
