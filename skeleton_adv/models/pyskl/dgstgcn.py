"""DG-STGCN."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.layers import matched
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import LAYERS, Recogniser, SixBranches, Unit, Units, Width, sizes

SUBSETS = 8


class DGSTGCN(Recogniser):
    """DG-STGCN: Dynamic Spatial-Temporal Modeling (Duan et al., arXiv 2210.05895).

    Layers, names and order of weights match pyskl's ``.pth`` files. No graph of the skeleton is used: all links are
    learned. Input (N, C, T, V, M) of any T and M, output logits (N, num_classes). Raises ``SettingError`` if the
    channels cannot be divided among eight subsets.
    """

    layers: ClassVar[Mapping[str, bool]] = LAYERS

    @checked
    def __init__(
        self, skeleton: Skeleton = NTU25, num_classes: Count = 60, channels: Count = 3, width: Width = 64
    ) -> None:
        if width % SUBSETS:
            raise SettingError(
                f"architecture.width={width} cannot be divided among {SUBSETS} graphs: choose a multiple of {SUBSETS}"
            )
        joints = skeleton.num_joints
        units = [
            Unit(_Spatial(inputs, outputs, joints), _Temporal(outputs, stride, joints), residual)
            for inputs, outputs, stride, residual in sizes(channels, width)
        ]
        super().__init__(skeleton, Units(joints * channels, units), 4 * width, num_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        width, channels = weights["backbone.gcn.0.gcn.conv1.weight"].shape[:2]
        skeleton = skeleton_with(weights["backbone.gcn.0.gcn.A"].shape[-1], channels)
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], channels, width)


class _Spatial(nn.Module):
    """Graph convolution in subsets of channels, with a learned graph that depends on the clip and on the channel."""

    def __init__(self, inputs: int, outputs: int, joints: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.randn(SUBSETS, joints, joints) * 0.02 + 0.04)
        self.alpha = nn.Parameter(torch.zeros(SUBSETS))
        self.beta = nn.Parameter(torch.zeros(SUBSETS))
        self.pre = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())
        self.post = nn.Conv2d(outputs, outputs, 1)
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        self.conv2 = nn.Conv2d(inputs, outputs, 1)
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        joints = x.shape[3]
        mean = x.mean(dim=2, keepdim=True)
        a = self.conv1(mean).view(len(x), SUBSETS, -1, joints)  # (N, K, C, V)
        b = self.conv2(mean).view(len(x), SUBSETS, -1, joints)
        # Of alpha and beta, pyskl uses the first entry for all subsets.
        by_channel = self.alpha[0] * torch.tanh(a[..., None] - b[..., None, :])  # (N, K, C, V, V)
        by_subset = self.beta[0] * F.softmax(a.transpose(2, 3) @ b, dim=-2)  # (N, K, V, V)
        graph = by_channel + (by_subset + self.A)[:, :, None]
        y = self.post(self.pre(x) @ graph.flatten(1, 2))
        return F.relu(self.bn(y) + self.down(x))


class _Temporal(SixBranches):
    """The six branches on the joints and on their mean, which is then added to each joint with a learned weight."""

    def __init__(self, channels: int, stride: int, joints: int) -> None:
        super().__init__(channels, stride)
        self.add_coeff = nn.Parameter(torch.zeros(max(joints, 25)))  # pyskl's has 25 entries for every skeleton

    def branched(self, x: Tensor) -> Tensor:
        joints = x.shape[3]
        y = super().branched(torch.cat([x, x.mean(dim=3, keepdim=True)], dim=3))
        return y[..., :joints] + y[..., joints:] * self.add_coeff[:joints]
