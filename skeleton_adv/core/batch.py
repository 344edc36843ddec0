"""Batches of clips in the attack space, the one data type that all parts of the program share."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from skeleton_adv.core.masks import Joints, allowed, joint_budgets
from skeleton_adv.core.skeleton import Skeleton

# The maximum number of frames in NTU RGB+D and Kinetics. In batches of this length, clips keep their recorded frames,
# followed by frames that do not exist; in shorter batches, clips are cropped and resampled.
WHOLE = 300


@dataclass(frozen=True)
class SkeletonBatch:
    """Clips that attacks perturb, in camera coordinates, cropped and resampled to T frames.

    Shapes: N clips, C channels, T frames, V joints, M persons.
    """

    x: Tensor  # (N, C, T, V, M), metres (Kinetics: normalised image units)
    y: Tensor  # (N,) labels; for a targeted attack, the targets
    mask: Tensor  # (N, 1, T, V, M) bool: which joints exist
    index: Tensor  # (N,) the clips' numbers in their dataset
    dt: Tensor  # (N,) seconds between two frames after resampling
    skeleton: Skeleton
    allowed: Tensor | None = None  # (1, 1, T, V, 1) bool: the joints and frames of an attack's mask; None: all
    joint_eps: Tensor | None = None  # (V,) budgets of single joints in the unit of x, NaN where there is none
    place: Tensor | None = None  # (N,) the clips' places in the order in which their split is attacked; None: unknown

    def __post_init__(self) -> None:
        n, c, t, v, m = self.x.shape
        if self.mask.shape != (n, 1, t, v, m) or self.mask.dtype != torch.bool:
            raise ValueError(f"mask must be bool {(n, 1, t, v, m)}, got {self.mask.dtype} {tuple(self.mask.shape)}")
        if (c, v) != (self.skeleton.channels, self.skeleton.num_joints):
            raise ValueError(
                f"{self.skeleton.name} has {self.skeleton.channels} channels and "
                f"{self.skeleton.num_joints} joints, x has {c} and {v}"
            )
        for name in ("y", "index", "dt"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must have shape {(n,)}, got {tuple(getattr(self, name).shape)}")

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def coords(self) -> Tensor:
        """The channels that are coordinates of joints."""
        return torch.tensor(self.skeleton.coords, device=self.x.device)

    @cached_property  # attacks use it in every step, and moving the channels to a GPU makes the steps wait
    def movable(self) -> Tensor:
        """(N, C, T, V, M) bool: the entries that a perturbation may change."""
        channel = torch.zeros(self.skeleton.channels, dtype=torch.bool, device=self.x.device)
        channel.index_fill_(0, self.coords, True)
        movable = self.mask & channel.view(1, -1, 1, 1, 1)
        return movable if self.allowed is None else movable & self.allowed

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "SkeletonBatch":
        """The batch on ``device``, its coordinates in ``dtype``."""
        return replace(
            self,
            x=self.x.to(device, dtype),
            y=self.y.to(device),
            mask=self.mask.to(device),
            index=self.index.to(device),
            dt=self.dt.to(device, dtype),
            allowed=None if self.allowed is None else self.allowed.to(device),
            place=None if self.place is None else self.place.to(device),
            joint_eps=None if self.joint_eps is None else self.joint_eps.to(device, dtype),
        )

    def limited(
        self,
        joints: Joints | None = None,
        frames: str | int | None = None,
        joint_eps: Mapping[str, float] | None = None,
    ) -> "SkeletonBatch":
        """The same clips, of which an attack may move only these joints and frames (``core.masks``).

        ``joint_eps`` are budgets of single joints, by name or number. Raises ``SettingError`` for a joint or a frame
        that does not exist.
        """
        own = allowed(self.skeleton, self.x.shape[2], joints, frames).to(self.x.device)
        budgets = None if joint_eps is None else joint_budgets(self.skeleton, joint_eps).to(self.x)
        return replace(self, allowed=own if self.allowed is None else own & self.allowed, joint_eps=budgets)

    def with_labels(self, y: Tensor) -> "SkeletonBatch":
        """The same clips with other labels, such as the targets of an attack."""
        return replace(self, y=y)


@dataclass(frozen=True)
class Context:
    """The clips that a victim receives and the purpose, which determine the noise of a randomised victim.

    Noise is drawn from (seed, purpose, clip index, draw), so that the attack, the choice of a class and
    the final judgement never share a stream. ``draw`` counts the draws for one purpose.
    """

    mask: Tensor  # (N, 1, T, V, M) bool: which joints exist
    movable: Tensor  # (N, C, T, V, M) bool: coordinates of existing joints, which noise may change
    index: Tensor  # (N,)
    seed: int
    purpose: str
    skeleton: Skeleton
    draw: int = 0
