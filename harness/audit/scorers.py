"""Scorers that can be audited: those of other packages by name, and anyone's as ``package.module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from harness.encoders.mending import mend_torchvision
from harness.errors import OptionError, first_line, unknown
from harness.registry import Registry

Scorer = Callable[[np.ndarray, list[np.ndarray]], Any]
"""Query (t, d) and n documents (p, d), float32 or float16 → one score a document: an array, a tensor or a list."""

SCORERS: Registry[Callable[[str], Scorer]] = Registry("scorer")
"""Functions that take the operator's spec and return the scorer; most know MaxSim alone. They import what they need."""


def load(target: str, pool: str = "maxsim") -> Scorer:
    """The scorer a name or ``package.module:function`` stands for. Raises OptionError."""
    try:
        return _function(target) if ":" in target else _adapter(target)(pool)
    except OptionError:
        raise
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is imported
        raise OptionError(f"{target!r} cannot be loaded: {type(error).__name__}: {first_line(error)}") from None


def _adapter(name: str) -> Callable[[str], Scorer]:
    if name not in SCORERS.names():
        raise OptionError(f"{unknown('scorer', name, SCORERS)}; one of yours is package.module:function")
    return SCORERS[name]


def _function(target: str) -> Scorer:
    module, _, name = target.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    found = importlib.import_module(module)
    try:
        function = attrgetter(name)(found)
    except AttributeError:
        functions = [one for one, what in vars(found).items() if callable(what) and not one.startswith("_")]
        raise OptionError(unknown(f"function of {module}", name, functions)) from None
    if not callable(function):
        raise OptionError(f"{target!r} is not a function: {type(function).__name__}")
    scorer: Scorer = function
    return scorer


APART = "in an environment of its own, where python -m harness.audit needs numpy only: "
"""Said of packages whose requirements would change what this program needs: another transformers, another torch."""


def needed(module: str, name: str, package: str, where: str = "") -> Any:
    """A function or class of a package under audit. Raises OptionError that says how to install what has it."""
    mend_torchvision()
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise OptionError(f"{module}.{name} is not there ({first_line(error)}): {where}pip install {package}") from None


def tensors(query: np.ndarray, documents: list[np.ndarray]) -> tuple[Any, list[Any]]:
    """The same as tensors, which share the arrays' memory."""
    import torch

    return torch.from_numpy(query), [torch.from_numpy(document) for document in documents]


@SCORERS.register("harness")
def harness(pool: str) -> Scorer:
    """This program's own scoring pass, under the operator that --pool names."""
    from harness.aggregators import AGGREGATORS
    from harness.records import Arm, Candidates, MultiVectors
    from harness.scoring.sweep import sweep

    operator = AGGREGATORS.make(pool)

    def vectors(items: list[np.ndarray]) -> MultiVectors:
        offsets = np.cumsum([0, *map(len, items)]).astype(np.int64)
        return MultiVectors([str(at) for at in range(len(items))], np.concatenate(items).astype(np.float16), offsets)

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        queries, stored = vectors([query]), vectors(documents)
        wanted = Candidates(queries.ids, stored.ids, np.arange(len(stored))[None], "exact", 1.0)
        return sweep(
            stored, queries, wanted, Arm("truncate", None, None), [int(stored.counts.max())], [operator]
        ).values[0, 0, 0]

    return score


@SCORERS.register("pylate")
def pylate(pool: str) -> Scorer:
    """PyLate: rank.rerank."""
    rerank = needed("pylate.rank", "rerank", "pylate", APART)

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        tokens, patches = tensors(query, documents)
        ranked = rerank([list(range(len(patches)))], [tokens], [patches], device="cpu")[0]
        return [one["score"] for one in sorted(ranked, key=lambda one: one["id"])]

    return score


@SCORERS.register("colpali")
def colpali(pool: str) -> Scorer:
    """colpali-engine: score_multi_vector of its processors."""
    processor = needed("colpali_engine.utils.processing_utils", "BaseVisualRetrieverProcessor", "colpali-engine", APART)

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        tokens, patches = tensors(query, documents)
        return processor.score_multi_vector([tokens], patches, device="cpu")[0]

    return score


@SCORERS.register("colbert")
def colbert(pool: str) -> Scorer:
    """colbert-ai: colbert_score of padded documents and their mask, as in training."""
    padded = needed("colbert.modeling.colbert", "colbert_score", "colbert-ai")
    import torch
    from torch.nn.utils.rnn import pad_sequence

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        tokens, patches = tensors(query, documents)
        mask = pad_sequence([torch.ones(len(one), 1, dtype=torch.bool) for one in patches], batch_first=True)
        return padded(tokens[None], pad_sequence(patches, batch_first=True), mask)

    return score


@SCORERS.register("colbert-packed")
def colbert_packed(pool: str) -> Scorer:
    """colbert-ai: colbert_score_packed, as its searcher calls it; on the CPU its maxima are C++, compiled once."""
    packed = needed("colbert.modeling.colbert", "colbert_score_packed", "colbert-ai")
    model = needed("colbert.modeling.colbert", "ColBERT", "colbert-ai")
    import torch

    model.try_load_torch_extensions(torch.cuda.is_available())

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        tokens, patches = tensors(query, documents)
        return packed(tokens[None], torch.cat(patches), torch.tensor([len(one) for one in patches]))

    return score


@SCORERS.register("sentence-transformers")
def sentence_transformers(pool: str) -> Scorer:
    """sentence-transformers 6: util.maxsim."""
    maxsim = needed("sentence_transformers.util", "maxsim", "'sentence-transformers>=6'", APART)

    def score(query: np.ndarray, documents: list[np.ndarray]) -> Any:
        tokens, patches = tensors(query, documents)
        return maxsim([tokens], patches)[0]

    return score


@SCORERS.register("maxsim-cpu")
def maxsim_cpu(pool: str) -> Scorer:
    """maxsim-cpu: maxsim_scores_variable."""
    scorer: Scorer = needed("maxsim_cpu", "maxsim_scores_variable", "maxsim-cpu")
    return scorer
