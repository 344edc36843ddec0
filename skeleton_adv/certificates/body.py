"""Smoothing noise on a body: log bone lengths, log body size, and yaw, alone or beside other noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skeleton_adv.certificates.space import Space
from skeleton_adv.certificates.terms import Terms, bone_counts
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.core.tree import rebuilt
from skeleton_adv.core.turning import Up, first_root, turned


@dataclass(frozen=True)
class Bones:
    """Log factors (N, M, E), one per bone and person over the clip; bones are rebuilt from the root outwards.

    Directions and the root's path stay, so factors multiply and their logarithms add up. Factors between 1 - x and
    1 + x of all E bones at once are within a radius R if R > sqrt(E) (-ln(1 - x)). Bones that do not exist in a frame
    move no joint there.
    """

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return batch.x.new_zeros(len(batch), batch.x.shape[4], len(batch.skeleton.bones))

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        return rebuilt(batch, params.exp())

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        percents = [
            100 * -math.expm1(-radius / math.sqrt(count)) if count else math.nan
            for radius, count in zip(radii, bone_counts(batch), strict=True)
        ]
        return [{"bone_percent": percent, "scale_percent": percent} for percent in percents]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        """Every body has bones."""


@dataclass(frozen=True)
class Scale:
    """The log (N, 1) of one factor of all bones, with the root's path unchanged: a larger or a smaller body."""

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return batch.x.new_zeros(len(batch), 1)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        return rebuilt(batch, params.exp()[..., None].expand(-1, batch.x.shape[4], len(batch.skeleton.bones)))

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        return [{"scale_percent": 100 * -math.expm1(-radius)} for radius in radii]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        """Every body has a size."""


@dataclass(frozen=True)
class Yaw:
    """The angle (N, 1) in radians about one vertical axis, through the first person's first root; all persons together.

    The root stays on the axis, so angles add up.
    """

    up: Up = "y"

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        return batch.x.new_zeros(len(batch), 1)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        return turned(batch, params[:, 0], first_root(batch), self.up)

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        return [{"yaw_degrees": _half_turn(radius)} for radius in radii]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        if len(skeleton.coords) < 3:
            raise SettingError(f"space=yaw turns 3-D joints, but those of {skeleton.name} are in an image: space=bones")


@dataclass(frozen=True)
class YawAnd:
    """Yaw together with the parameters of another space: (N, 1 + D), the angle divided by ``turn``, then the others.

    The noise of the angle is ``turn`` radians per unit of the other noise. Exact in two cases:

    - bone lengths: rotations about the first root and bone factors commute, so all parameters add up;
    - displacements whose noise has the same covariance in both horizontal coordinates, and no other in the vertical
      one: the clip is displaced and then rotated, and a displacement d after a rotation by phi is that of R(-phi) d
      before it, which has the same length and the same distribution of noise. It requires that rotations do not change
      lengths, so the axis must not move with the joints: it passes through the camera (``about_root=False``). For a
      victim that centres its clips, it might as well pass through the body.
    """

    others: Space
    turn: float
    up: Up = "y"
    about_root: bool = True

    def parameters(self, batch: SkeletonBatch) -> Tensor:
        others = self.others.parameters(batch).flatten(1)
        return torch.cat([others.new_zeros(len(batch), 1), others], dim=1)

    def moved(self, batch: SkeletonBatch, params: Tensor) -> Tensor:
        own = params[:, 1:].reshape(self.others.parameters(batch).shape)
        changed = replace(batch, x=self.others.moved(batch, own))
        centre = first_root(changed) if self.about_root else None
        return turned(changed, self.turn * params[:, 0], centre, self.up)

    def terms(self, batch: SkeletonBatch, radii: Sequence[float]) -> list[Terms]:
        turns = [{"yaw_degrees": _half_turn(self.turn * radius)} for radius in radii]
        return [one | turn for one, turn in zip(self.others.terms(batch, radii), turns, strict=True)]

    def check(self, skeleton: Skeleton, num_frames: int) -> None:
        Yaw(self.up).check(skeleton, num_frames)
        self.others.check(skeleton, num_frames)


def _half_turn(angle: float) -> float:
    """Degrees of an angle in radians, at most half a turn, which reaches every rotation."""
    return min(math.degrees(angle), 180.0)
