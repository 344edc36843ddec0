"""SGN as in pyskl."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.layers import ConvNorm
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import HEAD, Recogniser

BINS = 20  # of frames, before the temporal convolutions
Width = Annotated[int, Range("[1, 1024]")]
_LAYERS = {
    **{f"backbone.gcn{number}": True for number in (1, 2, 3)},
    **{f"backbone.tcn.{number}": True for number in (2, 4)},
    **HEAD,
}


class SGN(Recogniser):
    """Semantics-Guided Neural Networks (Zhang et al., arXiv 1904.01189) as in pyskl.

    Layers, names and order of weights match pyskl's code, which has no configuration for it. Input
    (N, C, length, V, M) of any M, output logits (N, num_classes). Differs from the authors' code: persons remain
    separate, and the motion of the last frame is minus the frame. Raises ``SettingError`` for another number of frames.
    """

    layers: ClassVar[Mapping[str, bool]] = _LAYERS

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        channels: Count = 3,
        length: Count = 30,
        width: Width = 64,
    ) -> None:
        super().__init__(skeleton, _Backbone(skeleton.num_joints, channels, length, width), 8 * width, num_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        width, channels = weights["backbone.joint_embed.0.conv.weight"].shape[:2]
        skeleton = skeleton_with(weights["backbone.s_embed.0.conv.weight"].shape[1], channels)
        length = weights["backbone.t_embed.0.conv.weight"].shape[1]
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], channels, length, width)


class _Backbone(nn.Module):
    def __init__(self, joints: int, channels: int, length: int, width: int) -> None:
        super().__init__()
        self.joint_bn = nn.BatchNorm1d(channels * joints)
        self.motion_bn = nn.BatchNorm1d(channels * joints)
        self.t_embed = _embedding(length, width, 4 * width)
        self.s_embed = _embedding(joints, width, width)
        self.joint_embed = _embedding(channels, width, width)
        self.motion_embed = _embedding(channels, width, width)
        self.compute_A1 = _Rectified(2 * width, 4 * width)
        self.compute_A2 = _Rectified(2 * width, 4 * width)
        self.tcn = nn.Sequential(
            nn.AdaptiveMaxPool2d((BINS, 1)),
            ConvNorm(4 * width, 4 * width, 3),
            nn.ReLU(),
            ConvNorm(4 * width, 8 * width),
            nn.ReLU(),
        )
        self.gcn1 = _Spatial(2 * width, 2 * width)
        self.gcn2 = _Spatial(2 * width, 4 * width)
        self.gcn3 = _Spatial(4 * width, 4 * width)
        self.length = length
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        if t != self.length:
            raise SettingError(
                f"this SGN takes {self.length} frames, but the clips have {t}: sample {self.length} frames "
                f"(preprocess.length={self.length}), or set architecture.length={t}"
            )
        x = x.permute(0, 4, 1, 2, 3).reshape(n * m, c, t, v)
        motion = torch.cat([x[:, :, 1:], torch.zeros_like(x[:, :, :1])], dim=2) - x
        h = self.joint_embed(_normalised(x, self.joint_bn)) + self.motion_embed(_normalised(motion, self.motion_bn))
        joint = self.s_embed(torch.eye(v, dtype=x.dtype, device=x.device).view(1, v, 1, v))  # one-hot joints
        frame = self.t_embed(torch.eye(t, dtype=x.dtype, device=x.device).view(1, t, t, 1))  # one-hot frames
        h = torch.cat([h, joint.expand(n * m, -1, t, -1)], dim=1)
        a, b = self.compute_A1(h).permute(0, 2, 3, 1), self.compute_A2(h).transpose(1, 2)
        graph = F.softmax(a @ b, dim=-1)  # (N M, T, V, V)
        for layer in (self.gcn1, self.gcn2, self.gcn3):
            h = layer(h, graph)
        y: Tensor = self.tcn(h + frame)
        return y


def _normalised(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """x (N M, C, T, V), normalised per channel and joint."""
    n, c, t, v = x.shape
    y: Tensor = norm(x.transpose(2, 3).reshape(n, c * v, t))
    return y.view(n, c, v, t).transpose(2, 3)


def _embedding(inputs: int, inner: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_Rectified(inputs, inner), _Rectified(inner, outputs))


class _Rectified(nn.Module):
    """A 1x1 convolution and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


class _Spatial(nn.Module):
    """Graph convolution with a graph (N, T, V, V) per frame, and a residual."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.residual = nn.Conv2d(inputs, outputs, 1)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, graph: Tensor) -> Tensor:
        mixed = (graph @ x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return F.relu(self.bn(self.conv(mixed) + self.residual(x)))


def _initialise(backbone: _Backbone) -> None:
    """Normally distributed weights, scaled by the number of outputs; graph convolutions start as their residuals."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.kernel_size[0] * module.kernel_size[1]
            nn.init.normal_(module.weight, 0, (2 / (kernel * module.out_channels)) ** 0.5)
    for layer in (backbone.gcn1, backbone.gcn2, backbone.gcn3):
        nn.init.zeros_(layer.conv.weight)
