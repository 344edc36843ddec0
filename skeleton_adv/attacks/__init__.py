"""Attacks: functions ``(model, batch, *, targeted=False, **settings) -> AttackResult``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, Protocol, TypeVar

from torch import Tensor

from skeleton_adv.core.access import Access
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.runs.schema import Columns

__all__ = ["Access", "Attack", "AttackResult", "Model", "access_of", "name_of", "needs", "own_columns", "passes_of"]

# (N, C, T, V, M) -> logits (N, num_classes); with access to labels only, predicted classes (N,), -1 for no class.
Model = Callable[[Tensor], Tensor]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class AttackResult:
    """The result of an attack; evaluation judges success from ``x_adv`` alone."""

    x_adv: Tensor  # (N, C, T, V, M), detached; immovable entries equal those of the clean clips
    found: Tensor  # (N,) bool: whether the attack claims that the clip fools the model
    trace: dict[str, Tensor] | None = None  # name -> (steps, N), for figures
    columns: dict[str, Tensor] = field(default_factory=dict)  # name -> (N,), the columns that the attack declares


class Attack(Protocol):
    """With ``targeted``, ``batch.y`` contains the classes to reach, otherwise the true classes."""

    def __call__(self, model: Model, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult: ...


@dataclass(frozen=True)
class _Needs:
    access: Access
    columns: Columns
    passes: Callable[..., int] | None


def needs(access: Access, columns: Columns | None = None, passes: Callable[..., int] | None = None) -> Callable[[F], F]:
    """Declare the access that an attack requires, and the ``columns`` that it adds to its rows.

    ``gradients``: calls are differentiable (a white box, or a surrogate); ``scores``: calls return
    logits; ``labels``: calls return predicted classes (N,), -1 where the logits are not finite; ``none``: no
    calls are allowed. Evaluation gives the attack no more than that. ``columns`` maps names to the kinds ``float``,
    ``int`` and ``bool``; ``AttackResult.columns`` must then contain a tensor (N,) for each. ``passes(**settings)``
    returns the number of times that the attack calls the model; the estimate of the time left uses it.
    """

    def declare(attack: F) -> F:
        attack.__needs__ = _Needs(access, dict(columns or {}), passes)  # type: ignore[attr-defined]
        return attack

    return declare


def access_of(attack: Callable[..., Any]) -> Access:
    """The access that an attack requires; an attack without a declaration requires gradients."""
    return _needs_of(attack).access


def own_columns(attack: Callable[..., Any]) -> Columns:
    """The columns that an attack adds to its rows, with their kinds."""
    return _needs_of(attack).columns


def passes_of(attack: Callable[..., Any]) -> int | None:
    """How often an attack calls the model with its settings; None if it does not declare this."""
    passes = _needs_of(attack).passes
    parameters = signature(attack).parameters.items()
    values = {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}
    return passes(**values) if passes else None


def name_of(attack: Callable[..., Any]) -> str:
    """The name of an attack, for messages."""
    function = _function(attack)
    return str(getattr(function, "__name__", type(function).__name__))


def _needs_of(attack: Callable[..., Any]) -> _Needs:
    needs: _Needs = getattr(_function(attack), "__needs__", _Needs("gradients", {}, None))
    return needs


def _function(attack: Callable[..., Any]) -> Callable[..., Any]:
    """The attack's function without the settings that ``partial`` binds to it."""
    while isinstance(attack, partial):
        attack = attack.func
    return attack
