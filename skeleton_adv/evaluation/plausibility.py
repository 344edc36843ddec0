"""How plausible the motion of a clip is, compared with clean clips of the same class."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.body_frame import headings, to_body
from skeleton_adv.core.geometry import bone_lengths, bones_exist, coordinates, joint_angles
from skeleton_adv.runs.schema import ColumnKind

HIGH = 2 / 3  # as a fraction of the Nyquist frequency of the resampled clip; frequencies above it are high
CONTACT = 0.05  # metres; a foot that is less than this above the floor touches it
FLOOR = 0.05  # the floor is this quantile of the heights of the feet in the clip
MEASURES = ("jerk", "high_frequency", "skate", "limit_excess", "pose_distance")
COLUMNS: dict[str, ColumnKind] = {
    f"{name}{end}": "float" for name in MEASURES for end in ("", "_ratio", "_percentile", "_clean_percentile")
}


def jerk(x: Tensor, batch: SkeletonBatch) -> Tensor:
    """(N,) mean norm of the third derivative of the joints' positions in time, in metres per second cubed."""
    third = coordinates(x, batch.skeleton).diff(n=3, dim=2).norm(dim=1) / batch.dt.view(-1, 1, 1, 1).to(x) ** 3
    mask = batch.mask[:, 0]
    exists = mask[:, :-3] & mask[:, 1:-2] & mask[:, 2:-1] & mask[:, 3:]
    return _mean(third, exists)


def high_frequency(x: Tensor, batch: SkeletonBatch) -> Tensor:
    """(N,) share of the power of the joints' motion in the upper third of the frequencies that T frames can show.

    The power is that of the discrete cosine transform over time, without its mean; a Fourier transform would count the
    jump from the last frame to the first. Joints that do not exist in every frame do not count.
    """
    frames = x.shape[2]
    steps = torch.arange(frames, dtype=x.dtype, device=x.device)
    cosines = torch.cos(math.pi / frames * (steps[None] + 0.5) * steps[1:, None])  # (T - 1, T): frequency k / (2 T)
    whole = batch.mask[:, 0].all(dim=1)  # (N, V, M)
    # Relative to the first frame, because a joint at rest then has exactly no power.
    moved = (coordinates(x, batch.skeleton) - coordinates(x, batch.skeleton)[:, :, :1]).movedim(2, -1)
    power = (moved @ cosines.T).square()  # (N, D, V, M, T - 1)
    total = (power.sum(dim=1) * whole[..., None]).sum(dim=(1, 2))  # (N, T - 1)
    high = steps[1:] >= HIGH * frames
    return torch.where(total.sum(dim=1) > 0, total[:, high].sum(dim=1) / total.sum(dim=1), torch.nan)


def skate(x: Tensor, batch: SkeletonBatch) -> Tensor:
    """(N,) mean horizontal speed of feet while they touch the floor in the clean clip, in metres per second.

    The second coordinate points up. A foot touches the floor in a frame if it is less than ``CONTACT`` above the
    floor (``FLOOR``); a speed counts if the foot touches the floor in both of its frames. NaN without feet or without
    contact, and for joints in an image.
    """
    feet = _feet(batch)
    if not feet or len(batch.skeleton.coords) < 3:
        return torch.full_like(x[:, 0, 0, 0, 0], torch.nan)
    across, up, away = batch.skeleton.coords
    exists = batch.mask[:, 0][:, :, feet]
    heights = torch.where(exists, batch.x[:, up][:, :, feet], torch.nan)
    floor = heights.flatten(1).nanquantile(FLOOR, dim=1).view(-1, 1, 1, 1)
    touches = exists & (heights < floor + CONTACT)
    level = x[:, [across, away]][:, :, :, feet]
    speed = (level[:, :, 1:] - level[:, :, :-1]).norm(dim=1) / batch.dt.view(-1, 1, 1, 1).to(x)
    return _mean(speed, touches[:, 1:] & touches[:, :-1])


def _feet(batch: SkeletonBatch) -> list[int]:
    """The joints that touch the floor: feet if the skeleton has them, otherwise ankles."""
    for part in ("foot", "ankle"):
        found = [number for number, name in enumerate(batch.skeleton.joints) if name.endswith(part)]
        if found:
            return found
    return []


def poses(x: Tensor, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """(N, T, M, D V) joints relative to the root, turned to one heading, in units of the body's size.

    The second result, (N, T, M) bool, says where all joints exist. Heading and size are those of the clean clip: the
    size is the sum of the median lengths of the bones.
    """
    own = to_body(x, headings(batch)[0], batch)  # (N, D, T, V, M)
    own = own - own[:, :, :, [batch.skeleton.root]]
    lengths = torch.where(bones_exist(batch), bone_lengths(batch.x, batch.skeleton), torch.nan)
    size = lengths.nanmedian(dim=1).values.nansum(dim=-1).clamp(min=1e-6)  # (N, M)
    exists = batch.mask[:, 0].all(dim=2)  # (N, T, M)
    return own.permute(0, 2, 4, 1, 3).flatten(3) / size[:, None, :, None], exists


@dataclass(frozen=True)
class Plausibility:
    """The measures of clips, and how they compare with those of clean clips of the same class.

    ``clean`` and ``training`` yield batches of all clean test clips and of all training clips.
    """

    clean: Callable[[], Iterator[SkeletonBatch]]
    training: Callable[[], Iterator[SkeletonBatch]]

    def columns(self, x_adv: Tensor, batch: SkeletonBatch) -> dict[str, Tensor]:
        """For each measure (N,): its value for the adversarial clip, and how unusual it is among clean clips.

        ``ratio``: divided by the 95th percentile of the clean test clips of its class; ``percentile``: its percentile
        among them, and ``clean_percentile`` that of the clean clip itself. NaN where a measure does not exist, or where
        a ratio would be to 0.
        """
        clean = batch.to(dtype=torch.float64)
        values, before = self._measured(x_adv.double(), clean), self._measured(clean.x, clean)
        found = {}
        for name in MEASURES:
            ratio, percentile, own = [], [], []
            for value, clean_value, label in zip(values[name], before[name], batch.y.tolist(), strict=True):
                usual = self._usual[name].get(label, x_adv.new_zeros(0).double())
                most = usual.quantile(0.95) if len(usual) else torch.zeros_like(value)
                ratio.append(torch.where(most > 0, value / most, torch.nan))
                percentile.append(_percentile(value, usual))
                own.append(_percentile(clean_value, usual))
            found[name] = values[name]
            found |= {f"{name}_ratio": torch.stack(ratio), f"{name}_percentile": torch.stack(percentile)}
            found[f"{name}_clean_percentile"] = torch.stack(own)
        return {name: found[name] for name in COLUMNS}

    def _measured(self, x: Tensor, batch: SkeletonBatch) -> dict[str, Tensor]:
        own = {"jerk": jerk, "high_frequency": high_frequency, "skate": skate}
        found = {name: measure(x, batch) for name, measure in own.items()}
        return found | {"limit_excess": self._limit_excess(x, batch), "pose_distance": self._pose_distance(x, batch)}

    def _limit_excess(self, x: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N,) the largest excess of an angle over its range in the training clips, in radians."""
        low, high = self._ranges
        angles, exists = _angles(x, batch)
        excess = torch.maximum(angles - high.view(-1, 1), low.view(-1, 1) - angles).clamp(min=0)
        return torch.where(exists, excess, 0).flatten(1).amax(dim=1)

    def _pose_distance(self, x: Tensor, batch: SkeletonBatch) -> Tensor:
        """(N,) mean over frames of the rms distance to the nearest training pose, as a share of the body's size."""
        found, exists = poses(x, batch)
        distance = torch.stack([self._nearest(clip.flatten(0, 1)) for clip in found]).view(exists.shape)
        return _mean(distance / batch.skeleton.num_joints**0.5, exists)

    def _nearest(self, own: Tensor) -> Tensor:
        """(K,) the distance of each pose (K, D V) to the nearest training pose."""
        nearest: Tensor = torch.cdist(own.float(), self._poses).amin(dim=1).double()
        return nearest

    @cached_property
    def _usual(self) -> dict[str, dict[int, Tensor]]:
        """Measure -> class -> the values of the clean test clips that have it."""
        values: dict[str, dict[int, list[Tensor]]] = {name: {} for name in MEASURES}
        for batch in self.clean():
            clean = batch.to(dtype=torch.float64)
            for name, measured in self._measured(clean.x, clean).items():
                for value, label in zip(measured, batch.y.tolist(), strict=True):
                    values[name].setdefault(label, []).append(value)
        stacked = {name: {label: torch.stack(own) for label, own in one.items()} for name, one in values.items()}
        return {name: {label: own[own.isfinite()] for label, own in one.items()} for name, one in stacked.items()}

    @cached_property
    def _ranges(self) -> tuple[Tensor, Tensor]:
        """(A,) the smallest and the largest of each angle in the training clips, in radians."""
        low, high = [], []
        for batch in self.training():
            angles, exists = _angles(batch.x.double(), batch.to(dtype=torch.float64))
            dims = (0, 1, 3)
            low.append(torch.where(exists, angles, torch.inf).amin(dim=dims))
            high.append(torch.where(exists, angles, -torch.inf).amax(dim=dims))
        return torch.stack(low).amin(dim=0), torch.stack(high).amax(dim=0)

    @cached_property
    def _poses(self) -> Tensor:
        """(K, D V) every whole pose of the training clips, float32."""
        found = []
        for batch in self.training():
            own, exists = poses(batch.x, batch)
            found.append(own[exists].float())
        return torch.cat(found)


def _angles(x: Tensor, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """(N, T, A, M) angles in radians, and whether each exists."""
    angles, exists = joint_angles(x, batch)
    for place in range(3):
        joints = torch.tensor([triple[place] for triple in batch.skeleton.angles], device=x.device)
        exists = exists & batch.mask[:, 0].index_select(2, joints)
    return angles, exists


def _mean(values: Tensor, exists: Tensor) -> Tensor:
    """(N,) mean of the values that exist; NaN if there are none."""
    count = exists.flatten(1).sum(dim=1)
    return torch.where(count > 0, torch.where(exists, values, 0).flatten(1).sum(dim=1) / count, torch.nan)


def _percentile(value: Tensor, usual: Tensor) -> Tensor:
    """The percentage of the usual values that are at most ``value``; NaN if it does not exist."""
    if not len(usual) or not value.isfinite():
        return torch.full_like(value, torch.nan)
    return 100 * (usual <= value).double().mean()
