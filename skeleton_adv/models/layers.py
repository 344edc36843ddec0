"""Layers that several graph networks share. Inside a network, x is (N M, C, T, V): persons are separate clips."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError

# The ten units of ST-GCN and its successors: channels as multiples of the width, and stride in time.
UNITS = ((1, 1), (1, 1), (1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (4, 2), (4, 1), (4, 1))


def by_person(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """x (N, C, T, V, M), normalised by ``data_bn``, as (N M, C, T, V); the person is the fastest index.

    A norm of M V C features has its own statistics per person; one of V C features shares them.
    Raises ``SettingError`` if it fits neither.
    """
    n, c, t, v, m = x.shape
    if norm.num_features not in (v * c, m * v * c):
        raise SettingError(
            f"this network normalises {norm.num_features} features (channels x joints, or x persons too), but the "
            f"clips have {c} channels, {v} joints and {m} persons: build it for their skeleton and num_persons"
        )
    x = norm(x.permute(0, 4, 3, 1, 2).reshape(-1, norm.num_features, t))
    return x.view(n * m, v, c, t).permute(0, 2, 3, 1)


def over_persons(x: Tensor, persons: int) -> Tensor:
    """(N, C): the mean of x (N M, C, T, V) over frames and joints, then over persons, absent ones included."""
    return x.mean(dim=(2, 3)).view(-1, persons, x.shape[1]).mean(dim=1)


class ConvNorm(nn.Module):
    """Convolution over time and batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.conv = over_time(inputs, outputs, kernel, stride, dilation, bias)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x))
        return y


def over_time(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1, bias: bool = True
) -> nn.Conv2d:
    """A convolution over frames that keeps T, or divides it by the stride, rounding up."""
    padding = (kernel - 1) * dilation // 2
    return nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (padding, 0), (dilation, 1), bias=bias)


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The residual of a unit: the identity, or a 1x1 convolution where shapes differ."""
    return nn.Identity() if inputs == outputs and stride == 1 else ConvNorm(inputs, outputs, stride=stride)


def matched(inputs: int, outputs: int) -> nn.Module:
    """The residual of a graph convolution: the identity, or a 1x1 convolution where channels differ."""
    if inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))


class MultiScale(nn.Module):
    """Temporal convolutions of several dilations, a maximum over three frames and a 1x1 convolution, concatenated.

    MS-G3D (Liu et al., arXiv 2003.14111, Sec. 3.4) and CTR-GCN (Chen et al., arXiv 2107.12213), without residual and
    activation. Each branch returns an equal part of ``outputs``. Raises ``SettingError`` if they cannot be equal.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__()
        part, rest = divmod(outputs, len(dilations) + 2)
        if rest:
            raise SettingError(
                f"{outputs} channels cannot be divided among {len(dilations) + 2} temporal branches: choose a width "
                f"that is a multiple of {len(dilations) + 2}"
            )

        def head(stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(inputs, part, 1, (stride, 1)), nn.BatchNorm2d(part)]

        dilated = [
            nn.Sequential(*head(), nn.ReLU(), ConvNorm(part, part, kernel, stride, dilation)) for dilation in dilations
        ]
        pooled = nn.Sequential(*head(), nn.ReLU(), nn.MaxPool2d((3, 1), (stride, 1), (1, 0)), nn.BatchNorm2d(part))
        self.branches = nn.ModuleList([*dilated, pooled, nn.Sequential(*head(stride))])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def mixed(x: Tensor, conv: nn.Conv2d, graph: Tensor) -> Tensor:
    """The sum over K subsets of ``conv_k(x) @ graph_k``, where conv's output channels are K times those of the sum.

    x is (N, C, T, V), graph (K, V, V). Joints are mixed first, because x has at most as many channels as the
    output.
    """
    n, c, t, v = x.shape
    subsets = len(graph)
    joints = (x.reshape(n, 1, c * t, v) @ graph).view(n, subsets * c, t * v)
    weight = conv.weight.view(subsets, -1, c).transpose(0, 1).flatten(1)  # (outputs, K C)
    assert conv.bias is not None
    bias = conv.bias.view(subsets, -1).T @ graph.sum(dim=1)  # (outputs, V): the graph mixes the bias too
    return (weight @ joints).view(n, -1, t, v) + bias[:, None]


def filtered(x: Tensor, convs: nn.ModuleList, bias: bool) -> Tensor:
    """(N, len(convs), outputs, T, V): the outputs of these 1x1 convolutions for x (N, C, T, V)."""
    y = stacked(convs, "weight").flatten(0, 1).flatten(1) @ x.flatten(2)
    if bias:
        y = y + stacked(convs, "bias").flatten()[:, None]
    return y.view(len(x), len(convs), -1, *x.shape[2:])


def stacked(convs: nn.ModuleList, name: str) -> Tensor:
    return torch.stack([conv.get_parameter(name) for conv in convs])
