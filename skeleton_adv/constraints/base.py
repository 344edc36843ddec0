"""Constraints: per-entry limits derived from a clean clip."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from skeleton_adv.constraints.split import Split
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import check_call
from skeleton_adv.core.skeleton import Skeleton

SLACK = 1e-6  # metres by which rounding may change a length of a feasible clip
Unit = Literal["share", "rad", "m"]


@dataclass(frozen=True)
class Limits:
    """A constraint applied to a batch: the reference values of its clean clips, computed once.

    There are K entries per clip: one for each bone, angle or joint of each person in each frame. The relative
    measure of an entry is ``deviation / scale``; the entry is within its limit if ``deviation <= tolerance``.
    """

    deviation: Callable[[Tensor], Tensor]  # x_adv (N, C, T, V, M) -> (N, K), metres or radians
    tolerance: Tensor  # (N, K), in the deviation's unit
    scale: Tensor  # (N, K), in the deviation's unit
    slack: Tensor  # (N, K), allowance for rounding, in the deviation's unit
    exists: Tensor  # (N, K) bool: whether the joints of the entry exist

    @staticmethod
    def within(eps: float, deviation: Callable[[Tensor], Tensor], slack: Tensor, exists: Tensor) -> "Limits":
        """The same tolerance ``eps`` for all entries, in the deviation's unit, in which tables show the deviation."""
        ones = torch.ones_like(slack)
        return Limits(deviation, tolerance=eps * ones, scale=ones, slack=slack, exists=exists)

    def measure(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative deviations (radians for angles), 0 for entries that do not exist."""
        return torch.where(self.exists, self.deviation(x_adv) / self.scale, 0)

    def violation(self, x_adv: Tensor) -> Tensor:
        """(N, K) relative excess over the tolerance, 0 within it: h(x') of Algorithm 1."""
        return torch.where(self.exists, (self.deviation(x_adv) - self.tolerance).relu() / self.scale, 0)

    def satisfied(self, x_adv: Tensor) -> Tensor:
        """(N,) bool: no entry exceeds its tolerance by more than the slack for rounding."""
        within = self.deviation(x_adv) <= self.tolerance + self.slack
        return (within | ~self.exists).all(dim=1)


class Constraint(ABC):
    """A limit on the change of a body, relative to the clean clip.

    ``symbol`` and ``unit`` describe the relative measure in the heads of tables.
    """

    name: ClassVar[str]
    symbol: str
    unit: Unit

    def __post_init__(self) -> None:
        """Raise ``SettingError`` if a value is out of its range; dataclasses call this."""
        check_call(type(self), vars(self), f"constraint.{self.name}.")

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
        """A note on the measure for the readers of a table; usually empty."""
        return ""

    def split(self, batch: SkeletonBatch, tighter: float = 0.0) -> Split | None:
        """The constraint for a projection, its tolerances lower by the fraction ``tighter``; None if it has none."""
        return None

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor | None:
        """The nearest clips (N, C, T, V, M) that satisfy the constraint; None if no closed form is known."""
        return None
