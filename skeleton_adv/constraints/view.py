"""A change of view: the whole clip is turned about one vertical axis."""

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from skeleton_adv.constraints.base import SLACK, Constraint, Limits, Unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import joints_last, length
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.turning import Up, first_root, level, turned

Degrees = Annotated[float, Range("[0, 180]")]


@dataclass(frozen=True)
class View(Constraint):
    """The clip is turned by at most ``eps`` degrees about the vertical axis through the first person's first root.

    All persons turn together, by one angle per clip; ``up`` is the vertical axis. Deviations are the distances in
    metres of the joints of each frame from the clip that the nearest such turn gives. Raises ``SettingError`` for
    joints in an image, whose depth is unknown.
    """

    eps: Degrees = 10.0
    up: Up = "y"
    name = "view"
    symbol = "ΔV"
    unit: Unit = "m"

    def on(self, batch: SkeletonBatch) -> Limits:
        _check_in_space(batch)

        def deviation(x_adv: Tensor) -> Tensor:
            nearest = self.project(x_adv, batch)
            return length(joints_last(x_adv, batch.skeleton) - joints_last(nearest, batch.skeleton)).flatten(1)

        exists = batch.mask[:, 0].transpose(2, 3).flatten(1)
        return Limits.within(0.0, deviation, torch.full_like(batch.x[:, 0].flatten(1), SLACK), exists)

    def angle(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N,) the angle in radians of the turn that is nearest to ``x_adv`` in l2, within the limit."""
        centre = first_root(batch).view(*batch.x.shape[:2], 1, 1, 1)
        clean, moved = (torch.where(batch.movable, x - centre, 0) for x in (batch.x, x_adv))
        a, b = level(batch.skeleton, self.up)
        along = (moved[:, a] * clean[:, a] + moved[:, b] * clean[:, b]).flatten(1).sum(dim=1)
        across = (moved[:, a] * clean[:, b] - moved[:, b] * clean[:, a]).flatten(1).sum(dim=1)
        most = math.radians(self.eps)
        return torch.atan2(across, torch.where(along == 0, 1e-30, along)).clamp(-most, most)

    def project(self, x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
        """The clean clips, turned by the nearest angle."""
        angle = self.angle(x_adv, batch)
        moved = turned(batch, angle, first_root(batch), self.up)
        return torch.where(angle.view(-1, 1, 1, 1, 1) == 0, batch.x, moved)  # exactly, without rounding


def _check_in_space(batch: SkeletonBatch) -> None:
    if len(batch.skeleton.coords) < 3:
        raise SettingError(
            f"constraint.view has no meaning for {batch.skeleton.name}, whose joints are in an image: choose another "
            "constraint=..."
        )
