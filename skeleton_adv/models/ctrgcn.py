"""CTR-GCN: channel-wise topology refinement graph convolution."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import spatial_adjacency
from skeleton_adv.models.layers import UNITS, MultiScale, by_person, matched, over_persons, shortcut
from skeleton_adv.models.layouts import skeleton_with

Width = Annotated[int, Range("[4, 1024]")]


class CTRGCN(nn.Module):
    """Channel-wise Topology Refinement Graph Convolution (Chen et al., arXiv 2107.12213).

    Layers, names and order of weights match the authors' code (Uason-Chen/CTR-GCN), whose checkpoints load directly.
    FR-Head (Zhou et al., arXiv 2304.02989, zhysora/FR-Head) is this network at test time: its heads act in training
    only. Input (N, C, T, V, M) of any T, output logits (N, num_classes). The mean over persons includes absent ones.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        **{f"l{number}": True for number in range(1, len(UNITS) + 1)},
        "fc": False,
    }

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        adjacency = spatial_adjacency(skeleton)
        self.data_bn = nn.BatchNorm1d(num_persons * skeleton.num_joints * channels)
        inputs = channels
        for number, (factor, stride) in enumerate(UNITS, start=1):
            self.add_module(f"l{number}", _Unit(inputs, factor * width, stride, adjacency, residual=number > 1))
            inputs = factor * width
        self.fc = nn.Linear(inputs, num_classes)
        self.apply(_initialise)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))

    def forward(self, x: Tensor) -> Tensor:
        persons = x.shape[4]
        x = by_person(x, self.data_bn)
        for number in range(1, len(UNITS) + 1):
            x = self.get_submodule(f"l{number}")(x)
        logits: Tensor = self.fc(over_persons(x, persons))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights."""
        joints, channels = weights["l1.gcn1.PA"].shape[-1], weights["l1.gcn1.convs.0.conv1.weight"].shape[1]
        return cls(
            skeleton_with(joints, channels),
            num_classes=weights["fc.weight"].shape[0],
            num_persons=weights["data_bn.weight"].shape[0] // (joints * channels),
            channels=channels,
            width=weights["l1.gcn1.bn.weight"].shape[0],
        )


class _Refined(nn.Module):
    """The filters of one channel-wise topology (paper, Eqs. 3 to 5)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        inner = 8 if inputs in (3, 9) else max(inputs // 8, 1)
        self.conv1 = nn.Conv2d(inputs, inner, 1)
        self.conv2 = nn.Conv2d(inputs, inner, 1)
        self.conv3 = nn.Conv2d(inputs, outputs, 1)
        self.conv4 = nn.Conv2d(inner, outputs, 1)

    def topology(self, mean: Tensor) -> Tensor:
        """(N, outputs, V, V): what the clips add to the graph, from their mean over frames (N, C, 1, V)."""
        a, b = self.conv1(mean).squeeze(2), self.conv2(mean).squeeze(2)
        refined: Tensor = self.conv4(torch.tanh(a[..., :, None] - b[..., None, :]))
        return refined


class Spatial(nn.Module):
    """Channel-wise graph convolution: the sum over three topologies, by row."""

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.PA = nn.Parameter(adjacency.clone())
        self.alpha = nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(_Refined(inputs, outputs) for _ in adjacency)
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=2, keepdim=True)  # filters of width 1 and the mean over frames commute
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for conv, shared in zip(self.convs, self.PA, strict=True):
            assert isinstance(conv, _Refined)
            graph = self.alpha * conv.topology(mean) + shared  # (N, outputs, V, V)
            total = total + conv.conv3(x) @ graph.transpose(2, 3)
        return F.relu(self.bn(total) + self.down(x))


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.gcn1 = Spatial(inputs, outputs, adjacency)
        self.tcn1 = MultiScale(outputs, outputs, kernel=5, stride=stride, dilations=(1, 2))
        self.residual: nn.Module | None = shortcut(inputs, outputs, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return F.relu(y + self.residual(x) if self.residual is not None else y)


def _initialise(layer: nn.Module) -> None:
    """The authors' initial weights; a parent is visited after its layers."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, MultiScale):
        for norm in layer.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.weight, 1, 0.02)
    elif isinstance(layer, Spatial):
        nn.init.constant_(layer.bn.weight, 1e-6)
