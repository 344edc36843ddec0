"""Constraints: per-entry limits derived from a clean clip."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton

SLACK = 1e-6  # metres by which rounding may move a length of a feasible clip
Unit = Literal["share", "rad", "m"]


@dataclass(frozen=True)
class Limits:
    """A constraint applied to a batch: the clean clips' reference values, computed once.

    K entries per clip: every frame and person of every bone, angle or joint. Relative measures are
    ``deviation / scale``; an entry is within its limit if ``deviation <= tolerance``.
    """

    deviation: Callable[[Tensor], Tensor]  # x_adv (N, C, T, V, M) -> (N, K), metres or radians
    tolerance: Tensor  # (N, K), in the deviation's unit
    scale: Tensor  # (N, K), in the deviation's unit
    slack: Tensor  # (N, K), the slack for rounding
    exists: Tensor  # (N, K) bool

    def measure(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative deviations (radians for angles), 0 where nothing exists."""
        return torch.where(self.exists, self.deviation(x_adv) / self.scale, 0)

    def violation(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative excess over the tolerance, 0 within it: h(x') of Algorithm 1."""
        return torch.where(self.exists, (self.deviation(x_adv) - self.tolerance).relu() / self.scale, 0)

    def satisfied(self, x_adv: Tensor) -> Tensor:
        """(N,) bool: no entry exceeds its tolerance by more than rounding."""
        within = self.deviation(x_adv) <= self.tolerance + self.slack
        return (within | ~self.exists).all(dim=1)


class Constraint(ABC):
    """A limit on the body, relative to the clip's own clean values.

    ``symbol`` and ``unit`` describe its relative measure in table heads.
    """

    name: ClassVar[str]
    symbol: str
    unit: Unit

    @abstractmethod
    def on(self, batch: SkeletonBatch) -> Limits:
        """The limits for the clean clips of ``batch``."""

    def violation(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N, K) relative excess over the tolerance."""
        return self.on(batch).violation(x_adv)

    def satisfied(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N,) bool, judged in float64."""
        return self.on(batch.to(dtype=torch.float64)).satisfied(x_adv.double())

    def remark(self, skeleton: Skeleton) -> str:
        """What a reader of a table must know of the measure beyond its symbol; mostly nothing."""
        return ""

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor | None:
        """The nearest clips (N, C, T, V, M) that satisfy the constraint; None if no closed form is known."""
        return None
