"""Attacks: functions ``(model, batch, *, targeted=False, **settings) -> AttackResult``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

Model = Callable[[Tensor], Tensor]  # (N, C, T, V, M) -> logits (N, num_classes)


@dataclass(frozen=True)
class AttackResult:
    """What an attack found; success is judged by others, from ``x_adv`` alone."""

    x_adv: Tensor  # (N, C, T, V, M), detached; equal to the clean clips where nothing may move
    found: Tensor  # (N,) bool: the attack believes that the clip fools the model
    trace: dict[str, Tensor] | None = None  # name -> (steps, N), for figures


class Attack(Protocol):
    """With ``targeted``, ``batch.y`` holds the classes to reach, else the classes to leave."""

    def __call__(self, model: Model, batch: SkeletonBatch, *, targeted: bool = False) -> AttackResult: ...
