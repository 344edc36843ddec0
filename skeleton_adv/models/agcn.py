"""2s-AGCN: two-stream adaptive graph convolutional network."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import spatial_adjacency
from skeleton_adv.models.layers import UNITS, by_person, filtered, over_persons, stacked
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.stages import Stages
from skeleton_adv.models.streams import Bones

_LAYERS = {**{f"l{number}": True for number in range(1, len(UNITS) + 1)}, "pool": False, "fc": False}
Width = Annotated[int, Range("[4, 1024]")]


class AGCN(nn.Module):
    """One stream of Two-Stream Adaptive Graph Convolutional Networks (Shi et al., arXiv 1805.07694).

    Layers, names and order of weights match the authors' code, whose checkpoints load
    directly. Input (N, C, T, V, M) of any T, output logits (N, num_classes). The mean over persons includes absent
    ones.
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
        super().__init__()
        adjacency = spatial_adjacency(skeleton)
        self.data_bn = nn.BatchNorm1d(num_persons * skeleton.num_joints * channels)
        inputs = channels
        for number, (factor, stride) in enumerate(UNITS, start=1):
            outputs = factor * width
            self.add_module(f"l{number}", _Unit(inputs, outputs, stride, adjacency, residual=number > 1))
            inputs = outputs
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc = nn.Linear(inputs, num_classes)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))

    def forward(self, x: Tensor) -> Tensor:
        persons = x.shape[4]
        x = by_person(x, self.data_bn)
        for number in range(1, len(UNITS) + 1):
            x = self.get_submodule(f"l{number}")(x)
        logits: Tensor = self.fc(self.pool(over_persons(x, persons)))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained stream with the sizes of these weights."""
        return cls(*_sizes(weights))


class TwoStreamAGCN(nn.Module):
    """The complete 2s-AGCN: the sum of the logits of a joint stream and a bone stream.

    As in the authors' fusion, the raw outputs are added with weight 1. Gradients also flow through the computation
    of bones. Each stream is trained separately: see ``streams``.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        f"{stream}.{name}": by_person for stream in ("joint", "bone") for name, by_person in _LAYERS.items()
    } | {"logits": False}
    feature_stages: ClassVar[Stages] = tuple((f"joint.{name}", f"bone.{name}") for name in [*_LAYERS][:-1])

    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__()
        self.joint = AGCN(skeleton, num_classes, num_persons, channels, width)
        self.bones = Bones(skeleton)
        self.bone = AGCN(skeleton, num_classes, num_persons, channels, width)
        self.logits = nn.Identity()  # names the sum of both streams

    def forward(self, x: Tensor) -> Tensor:
        joint, bone = self.streams(x)
        logits: Tensor = self.logits(joint + bone)
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """Both streams, untrained, with the sizes of one of them."""
        return cls(*_sizes(weights))

    def streams(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (N, num_classes) of the joint stream and of the bone stream."""
        return self.joint(x), self.bone(self.bones(x))


def _sizes(weights: Mapping[str, Tensor]) -> tuple[Skeleton, int, int, int, int]:
    """Skeleton, classes, persons, channels and width of one stream."""
    joints, channels = weights["l1.gcn1.PA"].shape[-1], weights["l1.gcn1.conv_a.0.weight"].shape[1]
    skeleton = skeleton_with(joints, channels)
    persons = weights["data_bn.weight"].shape[0] // (joints * channels)
    return skeleton, weights["fc.weight"].shape[0], persons, channels, weights["l1.tcn1.bn.weight"].shape[0]


class BoneAGCN(AGCN):
    """The bone stream alone; the authors' bone checkpoints fit it."""

    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__(skeleton, num_classes, num_persons, channels, width)
        self.bones = Bones(skeleton)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.bones(x))


class _Spatial(nn.Module):
    """Adaptive graph convolution: the sum of a fixed, a learned and an attended adjacency (paper, Eq. 3)."""

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        inner = outputs // 4
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.PA = nn.Parameter(torch.full_like(adjacency, 1e-6))
        self.conv_a = nn.ModuleList(_conv(inputs, inner) for _ in range(3))
        self.conv_b = nn.ModuleList(_conv(inputs, inner) for _ in range(3))
        self.conv_d = nn.ModuleList(_conv(inputs, outputs) for _ in range(3))
        self.down = nn.Identity()
        if inputs != outputs:
            self.down = nn.Sequential(_conv(inputs, outputs), nn.BatchNorm2d(outputs))  # type: ignore[assignment]
        self.bn = nn.BatchNorm2d(outputs)
        nn.init.constant_(self.bn.weight, 1e-6)
        for conv in self.conv_d:
            assert isinstance(conv, nn.Conv2d)
            nn.init.normal_(conv.weight, 0, math.sqrt(2 / (outputs * inputs * 3)))

    def forward(self, x: Tensor) -> Tensor:
        # Convolutions of width 1 are matrix products, and the three of one kind are computed as one product.
        a = filtered(x, self.conv_a, bias=True).permute(0, 1, 4, 2, 3).flatten(3)  # (N, 3, V, inner T)
        b = filtered(x, self.conv_b, bias=True).flatten(2, 3)  # (N, 3, inner T, V)
        graph = F.softmax(a @ b / b.shape[2], dim=-2) + (self.adjacency + self.PA)  # (N, 3, V, V)
        total = self._mixed(x, graph) + stacked(self.conv_d, "bias").sum(dim=0)[:, None, None]
        return F.relu(self.bn(total) + self.down(x))

    def _mixed(self, x: Tensor, graph: Tensor) -> Tensor:
        """x (N, C, T, V), mixed over joints by graph (N, 3, V, V) and over channels by conv_d; the sum of the three.

        The graph mixes joints and the filters mix channels, so either may come first. The graph comes first where
        it then has fewer channels, which is up to twice as fast.
        """
        n, c, t, v = x.shape
        if c < self.bn.num_features:
            joints = (x.reshape(n, 1, c * t, v) @ graph).view(n, 3 * c, t * v)
            weight = stacked(self.conv_d, "weight").transpose(0, 1).flatten(1)  # (outputs, 3 C)
            return (weight @ joints).view(n, -1, t, v)
        channels = filtered(x, self.conv_d, bias=False).flatten(2, 3)  # (N, 3, outputs T, V)
        return (channels @ graph).sum(dim=1).view(n, -1, t, v)


class _Temporal(nn.Module):
    """Convolution over time and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 9, stride: int = 1) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, adjacency: Tensor, residual: bool) -> None:
        super().__init__()
        self.gcn1 = _Spatial(inputs, outputs, adjacency)
        self.tcn1 = _Temporal(outputs, outputs, stride=stride)
        self.residual: nn.Module | None = nn.Identity() if residual else None
        if residual and (inputs != outputs or stride != 1):
            self.residual = _Temporal(inputs, outputs, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return F.relu(y + self.residual(x) if self.residual is not None else y)


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
