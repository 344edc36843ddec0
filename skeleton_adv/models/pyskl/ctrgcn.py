"""CTR-GCN as in pyskl."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models import initialise
from skeleton_adv.models.graph import spatial_adjacency
from skeleton_adv.models.layers import UNITS, MultiScale, by_person, matched
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import HEAD, Recogniser, Width, sizes

_LAYERS = {f"backbone.net.{unit}": True for unit in range(len(UNITS))} | HEAD


class CTRGCN(Recogniser):
    """Channel-wise Topology Refinement Graph Convolution (Chen et al., arXiv 2107.12213) as in pyskl.

    Layers, names and order of weights match pyskl's ``.pth`` files. Input (N, C, T, V, num_persons) of any T, output
    logits (N, num_classes). Differs from the authors' code: joints are mixed by column of the graph instead of by
    row, and a ReLU follows the temporal module.
    """

    layers: ClassVar[Mapping[str, bool]] = _LAYERS

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        adjacency = spatial_adjacency(skeleton, "fork")
        units = [_Unit(*unit, adjacency) for unit in sizes(channels, width)]
        super().__init__(
            skeleton, _Backbone(num_persons * skeleton.num_joints * channels, units), 4 * width, num_classes
        )

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        width, channels = weights["backbone.net.0.gcn1.convs.0.conv3.weight"].shape[:2]
        skeleton = skeleton_with(weights["backbone.net.0.gcn1.A"].shape[-1], channels)
        persons = weights["backbone.data_bn.weight"].shape[0] // (skeleton.num_joints * channels)
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], persons, channels, width)


class _Backbone(nn.Module):
    def __init__(self, features: int, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(features)
        self.net = nn.ModuleList(units)

    def forward(self, x: Tensor) -> Tensor:
        x = by_person(x, self.data_bn)
        for unit in self.net:
            x = unit(x)
        return x


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, residual: nn.Module | None, adjacency: Tensor) -> None:
        super().__init__()
        self.gcn1 = _Spatial(inputs, outputs, adjacency)
        self.tcn1 = MultiScale(outputs, outputs, 5, stride, (1, 2))
        self.residual = residual
        for module in (self.tcn1, residual):
            if module is not None:
                initialise.plain(module)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.tcn1(self.gcn1(x)))
        return F.relu(y + self.residual(x)) if self.residual is not None else y


class _Spatial(nn.Module):
    """Graph convolution whose graph is refined per clip and channel."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.A = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(_Refined(inputs, outputs) for _ in range(len(adjacency)))
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)
        initialise.plain(self)
        nn.init.constant_(self.bn.weight, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=2)  # 1x1 convolutions commute with the mean over frames
        total = torch.stack([conv(x, mean, self.A[k], self.alpha) for k, conv in enumerate(self.convs)]).sum(dim=0)
        return F.relu(self.bn(total) + self.down(x))


class _Refined(nn.Module):
    """One subset: the given graph plus ``alpha`` times a relation of each two joints, per output channel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = 8 if inputs <= 16 else inputs // 8
        self.conv1, self.conv2 = nn.Conv2d(inputs, inner, 1), nn.Conv2d(inputs, inner, 1)
        self.conv3, self.conv4 = nn.Conv2d(inputs, outputs, 1), nn.Conv2d(inner, outputs, 1)

    def forward(self, x: Tensor, mean: Tensor, adjacency: Tensor, alpha: Tensor) -> Tensor:
        a, b = self.conv1(mean[:, :, :, None]), self.conv2(mean[:, :, None])  # (N, inner, V, 1), (N, inner, 1, V)
        graph = self.conv4(torch.tanh(a - b)) * alpha + adjacency  # (N, outputs, V, V)
        y: Tensor = self.conv3(x) @ graph
        return y
