"""SGN: semantics-guided network."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Probability, Range, checked
from skeleton_adv.models.stages import Stages

Width = Annotated[int, Range("[4, 1024]")]
_POOLED = 20  # the frames that remain before the last convolutions, for every length


class SGN(nn.Module):
    """Semantics-Guided Neural Networks (Zhang et al., arXiv 1904.01189).

    Layers, names and order of weights match the authors' code, whose checkpoints load directly. Input (N, C, T, V, S)
    with T = ``length`` and one skeleton per frame: ``sgn_front.Sequence`` turns persons into further frames. S counts
    samplings of the same clip, whose logits are averaged. Output logits (N, num_classes). Inside, x is
    (N, S T, V, C), because every layer except the last ones is a matrix product over channels, frame by frame.

    Raises ``SettingError`` for clips with another number of frames.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        # Persons are already in one sequence of frames, and samplings follow each other on the axis of frames.
        **dict.fromkeys(("joint_embed", "gcn1", "gcn2", "gcn3", "cnn", "fc", "logits"), False),
    }
    feature_stages: ClassVar[Stages] = tuple((name,) for name in ("joint_embed", "gcn1", "gcn2", "gcn3", "cnn"))
    channel_axis: ClassVar[int] = -1

    @checked
    def __init__(
        self,
        num_joints: Count = 25,
        num_classes: Count = 60,
        channels: Count = 3,
        length: Count = 20,
        width: Width = 64,
        dropout: Probability = 0.2,
    ) -> None:
        super().__init__()
        self.length = length
        self.tem_embed = _Named(length, width, 4 * width)
        self.spa_embed = _Named(num_joints, width, width)
        self.joint_embed = _Embed(channels, num_joints, width)
        self.dif_embed = _Embed(channels, num_joints, width)
        self.cnn = _Frames(4 * width, 8 * width, dropout)
        self.compute_g1 = _Relations(2 * width, 4 * width)
        self.gcn1 = _Graph(2 * width, 2 * width)
        self.gcn2 = _Graph(2 * width, 4 * width)
        self.gcn3 = _Graph(4 * width, 4 * width)
        self.fc = nn.Linear(8 * width, num_classes)
        self.logits = nn.Identity()  # names the mean over samplings
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0, math.sqrt(2 / (math.prod(layer.kernel_size) * layer.out_channels)))
        for graph in (self.gcn1, self.gcn2, self.gcn3):
            nn.init.zeros_(graph.w.cnn.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, _, t, _, s = x.shape
        if t != self.length:
            raise SettingError(
                f"this SGN takes clips of {self.length} frames, not of {t}: choose {self.length} frames with the "
                "preprocessing skeleton_adv.models.sgn_front.Sequence"
            )
        x = x.permute(0, 1, 3, 4, 2)  # (N, C, V, S, T)
        motion = F.pad(x[..., 1:] - x[..., :-1], (1, 0))
        moving = self.joint_embed(x.flatten(3)) + self.dif_embed(motion.flatten(3))  # (N, S T, V, width)
        x = torch.cat([moving, self.spa_embed().expand_as(moving)], dim=3)
        relations = self.compute_g1(x)
        x = self.gcn3(self.gcn2(self.gcn1(x, relations), relations), relations)
        # The same value is added to all joints, so the maximum may come first.
        x = x.amax(dim=2).view(n, s, t, -1) + self.tem_embed()
        logits: Tensor = self.logits(self.fc(self.cnn(x)).mean(dim=1))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of a checkpoint's weights."""
        width, channels = weights["joint_embed.cnn.1.cnn.weight"].shape[:2]
        return cls(
            num_joints=weights["spa_embed.cnn.0.cnn.weight"].shape[1],
            num_classes=len(weights["fc.weight"]),
            channels=channels,
            length=weights["tem_embed.cnn.0.cnn.weight"].shape[1],
            width=width,
        )


class _Pointwise(nn.Module):
    """A 1x1 convolution of x (..., C)."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.cnn = nn.Conv2d(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.cnn.weight.flatten(1), self.cnn.bias)


class _Named(nn.Module):
    """(count, outputs): the embedding of each joint, or of each frame, which depends on its number only."""

    def __init__(self, count: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.cnn = nn.Sequential(_Pointwise(count, inner), nn.ReLU(), _Pointwise(inner, outputs), nn.ReLU())

    def forward(self) -> Tensor:
        first = self.cnn[0]
        assert isinstance(first, _Pointwise) and first.cnn.bias is not None
        y: Tensor = self.cnn[1:](first.cnn.weight.flatten(1).T + first.cnn.bias)  # of a one-hot input
        return y


class _Embed(nn.Module):
    """Coordinates or velocities (N, C, V, T), normalised and embedded as (N, T, V, outputs)."""

    def __init__(self, channels: int, num_joints: int, outputs: int) -> None:
        super().__init__()
        first, second = _Pointwise(channels, outputs), _Pointwise(outputs, outputs)
        self.cnn = nn.Sequential(_Norm(channels * num_joints), first, nn.ReLU(), second, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.cnn(x)
        return y


class _Norm(nn.Module):
    """Batch normalisation of every channel of every joint: (N, C, V, T) -> (N, T, V, C)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        normal: Tensor = self.bn(x.flatten(1, 2))
        return normal.view(x.shape).permute(0, 3, 2, 1)


class _Relations(nn.Module):
    """(N, T, V, V): how much each joint attends to every other in its frame (paper, Eq. 2)."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.g1, self.g2 = _Pointwise(inputs, inner), _Pointwise(inputs, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.g1(x) @ self.g2(x).transpose(2, 3), dim=3)


class _Graph(nn.Module):
    """A graph convolution with a residual, followed by normalisation (paper, Eq. 3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(outputs)
        self.w, self.w1 = _Pointwise(inputs, outputs, bias=False), _Pointwise(inputs, outputs)

    def forward(self, x: Tensor, relations: Tensor) -> Tensor:
        y = self.w(relations @ x) + self.w1(x)
        return F.relu(self.bn(y.flatten(0, 2))).view(y.shape)


class _Frames(nn.Module):
    """(N, S, outputs): convolutions over the frames of x (N, S, T, C), and the maximum over frames."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.cnn1 = nn.Conv2d(inputs, inputs, (1, 3), padding=(0, 1))
        self.bn1 = nn.BatchNorm2d(inputs)
        self.dropout = nn.Dropout2d(dropout)
        self.cnn2 = nn.Conv2d(inputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = _binned(x.flatten(0, 1)).transpose(1, 2).unsqueeze(2)  # (N S, C, 1, T)
        y = self.dropout(F.relu(self.bn1(self.cnn1(y))))
        return F.relu(self.bn2(self.cnn2(y))).amax(dim=(2, 3)).view(*x.shape[:2], -1)


def _binned(x: Tensor) -> Tensor:
    """x (N, T, C) by its maxima in 20 bins of frames, which overlap where T is not a multiple of 20."""
    frames = x.shape[1]
    if frames == _POOLED:
        return x
    bins = [(i * frames // _POOLED, -(-(i + 1) * frames // _POOLED)) for i in range(_POOLED)]
    return torch.stack([x[:, start:end].amax(dim=1) for start, end in bins], dim=1)
