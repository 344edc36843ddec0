"""ST-GCN++."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import spatial_adjacency
from skeleton_adv.models.layers import matched, mixed
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import (
    LAYERS,
    Recogniser,
    SixBranches,
    Unit,
    Units,
    Width,
    sizes,
)


class STGCNPP(Recogniser):
    """ST-GCN++ (Duan et al., PYSKL, arXiv 2205.09443): learned graphs and six temporal branches.

    Layers, names and order of weights match pyskl's ``.pth`` files. Input (N, C, T, V, M) of any T and M, output
    logits (N, num_classes).
    """

    layers: ClassVar[Mapping[str, bool]] = LAYERS

    @checked
    def __init__(
        self, skeleton: Skeleton = NTU25, num_classes: Count = 60, channels: Count = 3, width: Width = 64
    ) -> None:
        adjacency = spatial_adjacency(skeleton, "fork")
        units = [
            Unit(_Spatial(inputs, outputs, adjacency), SixBranches(outputs, stride), residual)
            for inputs, outputs, stride, residual in sizes(channels, width)
        ]
        super().__init__(skeleton, Units(skeleton.num_joints * channels, units), 4 * width, num_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        outputs, channels = weights["backbone.gcn.0.gcn.conv.weight"].shape[:2]
        skeleton = skeleton_with(weights["backbone.gcn.0.gcn.A"].shape[-1], channels)
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], channels, outputs // 3)


class _Spatial(nn.Module):
    """Graph convolution with a learned graph and a residual."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(adjacency.clone())
        self.bn = nn.BatchNorm2d(outputs)
        self.conv = nn.Conv2d(inputs, 3 * outputs, 1)
        self.down = matched(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(mixed(x, self.conv, self.A)) + self.down(x))
