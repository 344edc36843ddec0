"""The four streams of pyskl: joints, bones, and the motion of either."""

import torch
from torch import Tensor, nn

from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.models.graph import bone_links
from skeleton_adv.models.pyskl.normalise import rounded, score_channel
from skeleton_adv.models.streams import Stream

# In pyskl's bones of COCO, both hips hang on the nose, unlike in its graph.
_ORIGINS = {"coco17": {11: 0, 12: 0}}


class Feature(nn.Module):
    """pyskl's ``GenSkeFeat`` for one stream: clips (N, C, T, V, M) and their numbers of frames -> (N, C, T, V, M).

    A bone is a joint minus its origin, 0 at the root; motion is the next frame minus this one, 0 in the last frame.
    The score of a bone, or of motion, is the mean of both scores. With ``half``, differences of joints are rounded to
    float16.
    """

    origins: Tensor
    scored: Tensor

    def __init__(self, skeleton: Skeleton, stream: Stream, half: bool = False) -> None:
        super().__init__()
        self.bones, self.motion, self.rounds = stream.startswith("bone"), stream.endswith("motion"), half
        origins = torch.eye(skeleton.num_joints)
        for joint, origin in (dict(bone_links(skeleton)) | _ORIGINS.get(skeleton.name, {})).items():
            origins[joint, joint], origins[origin, joint] = 0, 1
        self.register_buffer("origins", origins, persistent=False)
        scored = torch.zeros(skeleton.channels, dtype=torch.bool)
        if (score := score_channel(skeleton)) is not None:
            scored[score] = True
        self.register_buffer("scored", scored.view(-1, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor, count: Tensor) -> Tensor:
        if self.bones:
            x = self._difference(x, (x.transpose(3, 4) @ self.origins.to(x.dtype)).transpose(3, 4), self.rounds)
        if self.motion:
            following = torch.cat([x[:, :, 1:], x[:, :, -1:]], dim=2)
            last = torch.arange(1, x.shape[2] + 1, device=x.device) >= count[:, None]  # (N, T)
            moved = self._difference(following, x, self.rounds and not self.bones)
            x = torch.where(last[:, None, :, None, None], 0, moved)
        return x

    def _difference(self, end: Tensor, start: Tensor, half: bool) -> Tensor:
        change = rounded(end - start) if half else end - start
        return torch.where(self.scored, (end + start) / 2, change)
