"""SkateFormer's preprocessing: joints in the order of body parts, 64 frames, and where in the clip they are."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, checked
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.models.preprocess import translated


@dataclass(frozen=True)
class Parts:
    """How SkateFormer divides a body.

    ``joints`` are those that the network receives, in the order of parts of ``size`` joints; ``near`` is the number of
    consecutive joints that attend to each other as neighbours. ``mlp_ratio`` is the authors' choice.
    """

    joints: tuple[int, ...]
    size: int
    near: int
    mlp_ratio: int


# NTU (the authors' order without joint 21): left and right hand, left and right leg, elbows and shoulders, torso.
_NTU = "7 8 22 23 | 11 12 24 25 | 13 14 15 16 | 17 18 19 20 | 5 9 6 10 | 2 3 1 4"
# The first Kinect, as for NW-UCLA: right arm, left arm, right leg, left leg, torso.
_KINECT = "9 10 11 12 | 5 6 7 8 | 17 18 19 20 | 13 14 15 16 | 1 2 3 4"


def _from_one(text: str) -> tuple[int, ...]:
    return tuple(int(joint) - 1 for joint in text.replace("|", " ").split())


PARTS = {"ntu25": Parts(_from_one(_NTU), 4, 8, 4), "kinect20": Parts(_from_one(_KINECT), 4, 4, 1)}
PARTS["kinect20_sdk"] = PARTS["kinect20"]  # the order of NW-UCLA's joints: limbs have the same numbers


def parts_of(skeleton: Skeleton) -> Parts:
    """The parts of a skeleton; raises ``SettingError`` if none are published."""
    if skeleton.name not in PARTS:
        raise SettingError(
            f"SkateFormer has no body parts of {skeleton.name}, only of {', '.join(PARTS)}: choose another model"
        )
    return PARTS[skeleton.name]


class Partitioned(nn.Module):
    """Camera-space clips (N, C, T, V, M) -> clips (N, C, length, joints, M) and the places (N, length) of their frames.

    As in SkateFormer's feeder (KAIST-VICLab/SkateFormer): clips are translated as in ``preprocess.translated``; a clip
    with ``WHOLE`` frames is cut to the central fraction ``crop`` of its recorded frames, but not below ``length``
    frames; a shorter clip was cropped before. Fewer frames than ``length`` are resized linearly; of more frames,
    ``length`` are picked at equal distances. A place is ``2 frame / frames - 1``. The cut of a clip with at most
    ``length`` frames includes frames that do not exist, as in the authors' code.

    Raises ``SettingError`` for a skeleton without published parts.
    """

    order: Tensor

    @checked
    def __init__(self, skeleton: Skeleton, length: Count = 64, crop: Fraction = 0.95) -> None:
        super().__init__()
        self.length, self.crop, self.center = length, crop, skeleton.center
        self.register_buffer("order", torch.tensor(parts_of(skeleton).joints), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # (N, C, T, V, M)
        x = translated(x, self.center).index_select(3, self.order)
        low, high, share, recorded = self._frames(x)
        frame = torch.arange(x.shape[2], device=x.device)
        weights = (frame == low[..., None]) * (1 - share)[..., None] + (frame == high[..., None]) * share[..., None]
        at = 2 * (low * (1 - share) + high * share) / recorded - 1
        return torch.einsum("nctvm,nst->ncsvm", x, weights), at

    def _frames(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, length): the two frames between which each frame is, the share of the second, and the recorded frames."""
        recorded = torch.full((len(x), 1), x.shape[2], device=x.device)
        count, start = recorded, torch.zeros_like(recorded)
        if x.shape[2] >= WHOLE:
            recorded = (x.detach() != 0).any(dim=3).any(dim=1).any(dim=2).sum(dim=1, keepdim=True).clamp(min=1)
            crop = 1.0 if self.training else self.crop  # training clips are windows already
            kept = (crop * recorded.double()).long()
            count = torch.minimum(kept.clamp(min=self.length), recorded)
            start = ((1 - crop) * recorded.double() / 2).long()
        index = torch.arange(self.length, device=x.device)
        between = ((index + 0.5) * (count.to(x.dtype) / self.length) - 0.5).clamp(min=0)
        few = count < self.length
        low = torch.where(few, between.long(), index * count // self.length)
        high = torch.where(few, torch.minimum(low + 1, count - 1), low)
        return start + low, start + high, torch.where(few, between - low, 0), recorded
