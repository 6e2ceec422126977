"""The contract of an aggregator φ: reduce a stream of similarities, merge two states, finish to one score a token.

One law binds the three: ``finish(reduce(x ++ y)) == finish(merge(reduce(x), reduce(y)))``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from harness.registry import Registry, spec_of

if TYPE_CHECKING:
    from torch import Tensor

MASKED = -1e30
"""Stands in a padded slot: finite, so gradients stay finite; far below any similarity, so it never wins."""

State = Any


class Aggregator:
    """Base of every operator; subclasses are frozen dataclasses whose fields are the spec's parameters."""

    name: ClassVar[str] = ""

    def reduce(self, sims: Tensor) -> State:
        """Similarities (..., p), padded slots MASKED → state. Own patches come first, so they win ties."""
        raise NotImplementedError

    def merge(self, own: State, other: State) -> State:
        """The state of both streams, ``own`` first."""
        raise NotImplementedError

    def finish(self, state: State) -> Tensor:
        """State → one score per query token (...)."""
        raise NotImplementedError

    def share(self, own: State, other: State) -> Tensor | None:
        """Fraction (...) of the merged selection that comes from ``other``; None where an operator cannot tell."""
        return None

    def gradient(self, sims: Tensor) -> Tensor:
        """∂φ/∂similarities (..., p), none of them padded: by autograd, where an operator has no closed form.

        A closed form that is inherited is the parent's: whoever changes the score gives its own.
        """
        import torch  # here, not above: what only names operators, such as `harness list`, need not wait for it

        leaf = sims.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self(leaf).sum(), leaf)
        return gradient

    def __call__(self, sims: Tensor) -> Tensor:
        """Similarities (..., p) → scores (...), in one go."""
        return self.finish(self.reduce(sims))

    def __str__(self) -> str:
        return spec_of(self.name, self)


AGGREGATORS: Registry[type[Aggregator]] = Registry("aggregator")

A = TypeVar("A", bound=type[Aggregator])


def aggregator(name: str) -> Callable[[A], A]:
    """Register an aggregator under its command-line name; its annotated fields become its parameters."""

    def add(cls: A) -> A:
        dataclasses.dataclass(frozen=True)(cls)  # changes the class in place
        cls.name = name
        AGGREGATORS.register(name)(cls)
        return cls

    return add


def real(sims: Tensor) -> Tensor:
    """True where a slot holds a similarity, False where it is padding."""
    return sims > MASKED / 2


def masked_mean(values: Tensor) -> Tensor:
    """Mean over the last axis of the slots that are real: (..., k) → (...)."""
    keep = real(values)
    return values.where(keep, 0.0).sum(-1) / keep.sum(-1).clamp(min=1)


def require_temperature(tau: float) -> None:
    """A temperature is finite and not so small that s/τ leaves float32."""
    if not (1e-6 <= tau < float("inf")):
        raise ValueError(f"tau must be at least 1e-06 and finite, not {tau}")


def weigh(sims: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Peak (...) and weights exp((s − peak)/τ) (..., p) of a block; padded slots weigh nothing."""
    peak = sims.detach().amax(-1)
    keep = real(sims)
    return peak, ((sims - peak[..., None]).where(keep, 0.0) / tau).exp().where(keep, 0.0)


def rescale(own_peak: Tensor, other_peak: Tensor, tau: float) -> tuple[Tensor, Tensor, Tensor]:
    """The common peak of two states and the factors that bring each state's sums to it."""
    peak = own_peak.maximum(other_peak)
    return peak, ((own_peak - peak) / tau).exp(), ((other_peak - peak) / tau).exp()
