"""2s-AGCN: two-stream adaptive graph convolutional network."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.models.graph import inward_links, spatial_adjacency
from skeleton_adv.ranges import Count, checked
from skeleton_adv.skeleton import NTU25, Skeleton

UNITS = ((64, 1), (64, 1), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1))


class AGCN(nn.Module):
    """One stream of Two-Stream Adaptive Graph Convolutional Networks (Shi et al., arXiv 1805.07694).

    Layers, names and order of weights are those of the authors' code, whose checkpoints load as they
    are. Input (N, C, T, V, M) of any T, output logits (N, num_classes). An absent person is averaged in.
    """

    adjacency: Tensor

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
    ) -> None:
        super().__init__()
        adjacency = spatial_adjacency(skeleton)
        self.data_bn = nn.BatchNorm1d(num_persons * skeleton.num_joints * channels)
        width = channels
        for number, (outputs, stride) in enumerate(UNITS, start=1):
            self.add_module(f"l{number}", _Unit(width, outputs, stride, adjacency, residual=number > 1))
            width = outputs
        self.fc = nn.Linear(width, num_classes)
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = self.data_bn(x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
        x = x.view(n * m, v, c, t).permute(0, 2, 3, 1)
        for number in range(1, len(UNITS) + 1):
            x = self.get_submodule(f"l{number}")(x)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1))
        return logits


class TwoStreamAGCN(nn.Module):
    """2s-AGCN as a whole: the sum of the logits of a joint stream and a bone stream.

    The authors' fusion adds raw outputs with weight 1. Gradients flow through the bone map too.
    """

    def __init__(
        self, skeleton: Skeleton = NTU25, num_classes: int = 60, num_persons: int = 2, channels: int = 3
    ) -> None:
        super().__init__()
        self.joint = AGCN(skeleton, num_classes, num_persons, channels)
        self.bones = Bones(skeleton)
        self.bone = AGCN(skeleton, num_classes, num_persons, channels)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.joint(x) + self.bone(self.bones(x))
        return logits


class Bones(nn.Module):
    """Joints (N, C, T, V, M) -> each joint minus the next one towards the centre; 0 at the centre."""

    bones: Tensor

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        matrix = torch.zeros(skeleton.num_joints, skeleton.num_joints)
        for joint, center in inward_links(skeleton):
            matrix[joint, joint], matrix[center, joint] = 1, -1
        self.register_buffer("bones", matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.transpose(3, 4) @ self.bones).transpose(3, 4)


class _Spatial(nn.Module):
    """Adaptive graph convolution: fixed, learned and attended adjacency, added (paper, Eq. 3)."""

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
        n, c, t, v = x.shape
        flat = x.reshape(n, c * t, v)
        total = torch.zeros((), dtype=x.dtype, device=x.device)
        for subset in range(3):
            a = self.conv_a[subset](x).permute(0, 3, 1, 2).flatten(2)  # (N, V, inner T)
            b = self.conv_b[subset](x).flatten(1, 2)  # (N, inner T, V)
            attended = F.softmax(a @ b / b.shape[1], dim=-2)
            mixed = flat @ (attended + (self.adjacency[subset] + self.PA[subset]))
            total = total + self.conv_d[subset](mixed.view(n, c, t, v))
        return F.relu(self.bn(total) + self.down(x))


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
