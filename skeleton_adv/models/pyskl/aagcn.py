"""AAGCN as in pyskl."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models import initialise
from skeleton_adv.models.graph import spatial_adjacency
from skeleton_adv.models.layers import ConvNorm, filtered, matched, stacked
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import (
    LAYERS,
    Recogniser,
    Unit,
    Units,
    Width,
    sizes,
)


class AAGCN(Recogniser):
    """Skeleton-Based Action Recognition with Multi-Stream Adaptive GCNs (Shi et al., arXiv 1912.06971) as in pyskl.

    Layers, names and order of weights match pyskl's ``.pth`` files. Input (N, C, T, V, num_persons) of any T, output
    logits (N, num_classes).
    """

    layers: ClassVar[Mapping[str, bool]] = LAYERS

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
        units = [
            Unit(_Spatial(inputs, outputs, adjacency), _temporal(outputs, stride), residual)
            for inputs, outputs, stride, residual in sizes(channels, width)
        ]
        super().__init__(skeleton, Units(num_persons * skeleton.num_joints * channels, units), 4 * width, num_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        width, channels = weights["backbone.gcn.0.gcn.conv_d.0.weight"].shape[:2]
        skeleton = skeleton_with(weights["backbone.gcn.0.gcn.A"].shape[-1], channels)
        persons = weights["backbone.data_bn.weight"].shape[0] // (skeleton.num_joints * channels)
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], persons, channels, width)


def _temporal(channels: int, stride: int) -> ConvNorm:
    temporal = ConvNorm(channels, channels, 9, stride)
    initialise.plain(temporal)
    return temporal


class _Spatial(nn.Module):
    """Adaptive graph convolution, followed by attention to joints, frames and channels."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        joints, inner = adjacency.shape[-1], outputs // 4
        self.A = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.conv_d = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(3))
        self.conv_a = nn.ModuleList(nn.Conv2d(inputs, inner, 1) for _ in range(3))
        self.conv_b = nn.ModuleList(nn.Conv2d(inputs, inner, 1) for _ in range(3))
        self.conv_ta = nn.Conv1d(outputs, 1, 9, padding=4)
        kernel = joints if joints % 2 else joints - 1
        self.conv_sa = nn.Conv1d(outputs, 1, kernel, padding=kernel // 2)
        self.fc1c = nn.Linear(outputs, outputs // 2)
        self.fc2c = nn.Linear(outputs // 2, outputs)
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)
        self._initialise()

    def _initialise(self) -> None:
        initialise.plain(self)
        for conv in self.conv_d:
            assert isinstance(conv, nn.Conv2d)
            initialise.branch(conv, len(self.conv_d))
        nn.init.constant_(self.bn.weight, 1e-6)
        nn.init.xavier_normal_(self.conv_sa.weight)
        nn.init.kaiming_normal_(self.fc1c.weight)
        for layer in (self.conv_ta, self.fc2c):
            nn.init.zeros_(layer.weight)
        for layer in (self.conv_ta, self.conv_sa, self.fc1c, self.fc2c):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        # Convolutions of width 1 are matrix products, and the three of one kind are computed as one product.
        a = filtered(x, self.conv_a, bias=True).permute(0, 1, 4, 2, 3).flatten(3)  # (N, 3, V, inner T)
        b = filtered(x, self.conv_b, bias=True).flatten(2, 3)  # (N, 3, inner T, V)
        graph = self.A + self.alpha * torch.tanh(a @ b / b.shape[2])  # (N, 3, V, V)
        return self._attended(F.relu(self.bn(self._mixed(x, graph)) + self.down(x)))

    def _mixed(self, x: Tensor, graph: Tensor) -> Tensor:
        """x (N, C, T, V), mixed over joints by graph (N, 3, V, V) and over channels by conv_d; the sum of the three."""
        n, c, t, v = x.shape
        joints = (x.reshape(n, 1, c * t, v) @ graph).view(n, 3 * c, t * v)
        weight = stacked(self.conv_d, "weight").transpose(0, 1).flatten(1)  # (outputs, 3 C)
        bias = stacked(self.conv_d, "bias").sum(dim=0)
        return (weight @ joints).view(n, -1, t, v) + bias[:, None, None]

    def _attended(self, y: Tensor) -> Tensor:
        y = y * _gain(self.conv_sa(y.mean(dim=2)))[:, :, None, :]
        y = y * _gain(self.conv_ta(y.mean(dim=3)))[:, :, :, None]
        return y * _gain(self.fc2c(F.relu(self.fc1c(y.mean(dim=(2, 3))))))[:, :, None, None]


def _gain(x: Tensor) -> Tensor:
    """One plus the sigmoid of x, by the tangent: torch's sigmoid depends on where an entry is in its tensor."""
    return 1.5 + 0.5 * torch.tanh(x / 2)
