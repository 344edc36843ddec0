"""Shift-GCN: graph convolutions that shift channels between joints and between frames.

Inside the units, x is (C, T, N M, V): every shift is then one batched matrix product, whose gradient is another one
and is deterministic. Between units, x is a view (N M, C, T, V) of it.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.models.layers import UNITS, ConvNorm, by_person, matched, over_persons, shortcut

Width = Annotated[int, Range("[1, 1024]")]
_STILL = 1e-6  # joints; smaller shifts between joints change nothing in float32 (released weights: 2e-10)
_PUSH = 0.01  # the size of every gradient of a shift in time in the authors' code


class ShiftGCN(nn.Module):
    """Skeleton-Based Action Recognition with Shift Graph Convolutional Network (Cheng et al., CVPR 2020).

    Layers, names and order of weights match the authors' code (kchengiva/Shift-GCN), whose checkpoints load
    directly. Input (N, C, T, V, M), output logits (N, num_classes). The mean over persons includes absent
    ones. Bones are not used, so any skeleton fits.

    As in the authors' code, the gradient of a shift in time has only a sign, and shifts between joints are not
    learned. Raises ``SettingError`` if T is not a multiple of 4.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        **{f"l{number}": True for number in range(1, len(UNITS) + 1)},
        "pool": False,
        "fc": False,
    }

    @checked
    def __init__(
        self,
        num_joints: Count = 25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(num_persons * num_joints * channels)
        inputs = channels
        for number, (factor, stride) in enumerate(UNITS, start=1):
            outputs = factor * width
            self.add_module(f"l{number}", _Unit(inputs, outputs, num_joints, stride, residual=number > 1))
            inputs = outputs
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc = nn.Linear(inputs, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.fc.weight, 0, math.sqrt(2 / num_classes))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 4:
            raise SettingError(
                f"Shift-GCN takes clips whose number of frames is a multiple of 4, not {x.shape[2]}: set "
                f"dataset.num_frames={max(4, round(x.shape[2] / 4) * 4)}"
            )
        persons = x.shape[4]
        x = by_person(x, self.data_bn)
        for number in range(1, len(UNITS) + 1):
            x = self.get_submodule(f"l{number}")(x)
        logits: Tensor = self.fc(self.pool(over_persons(x, persons)))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of a checkpoint's weights."""
        _, joints, channels = weights["l1.gcn1.Feature_Mask"].shape
        return cls(
            num_joints=joints,
            num_classes=len(weights["fc.weight"]),
            num_persons=len(weights["data_bn.weight"]) // (joints * channels),
            channels=channels,
            width=weights["l1.gcn1.Linear_weight"].shape[1],
        )


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, num_joints: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.gcn1 = _Joints(inputs, outputs, num_joints)
        self.tcn1 = _Frames(outputs, stride)
        self.residual = shortcut(inputs, outputs, stride) if residual else None

    def forward(self, x: Tensor) -> Tensor:  # (N M, C, T, V)
        x = x.permute(1, 2, 0, 3).contiguous()
        y = self.tcn1(self.gcn1(x))
        if self.residual is not None:
            y = y + (_conv_norm(self.residual, x) if isinstance(self.residual, ConvNorm) else x)
        return F.relu(y).permute(2, 0, 1, 3)


class _Joints(nn.Module):
    """Channel c moves by c joints, channels are mixed, and channel c moves back (paper, Sec. 3.1, non-local)."""

    forth: Tensor
    back: Tensor

    def __init__(self, inputs: int, outputs: int, num_joints: int) -> None:
        super().__init__()
        self.Linear_weight = nn.Parameter(torch.randn(inputs, outputs) / math.sqrt(outputs))
        self.Linear_bias = nn.Parameter(torch.zeros(1, 1, outputs))
        self.Feature_Mask = nn.Parameter(torch.zeros(1, num_joints, inputs))
        self.register_buffer("forth", _turn(inputs, num_joints), persistent=False)
        self.register_buffer("back", _turn(outputs, num_joints).transpose(1, 2).contiguous(), persistent=False)
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm1d(num_joints * outputs)

    def forward(self, x: Tensor) -> Tensor:  # (C, T, N M, V)
        c, t, n, v = x.shape
        masked = self.forth * (torch.tanh(self.Feature_Mask[0].T) + 1)[:, None]
        y = torch.bmm(x.view(c, t * n, v), masked).view(c, -1)
        y = torch.addmm(self.Linear_bias.view(-1, 1), self.Linear_weight.T, y).view(-1, t * n, v)
        y = self._normal(y, n).view(-1, t, n, v)
        if isinstance(self.down, nn.Sequential):
            conv, norm = self.down
            assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            x = _normal(norm, _mixed(conv, x))
        return F.relu(y + x)

    def _normal(self, y: Tensor, clips: int) -> Tensor:
        """y (C, T N M, V), moved back and normalised per joint and channel."""
        c, frames, v = y.shape
        if self.training:
            y = torch.bmm(y, self.back).view(c, -1, clips, v).permute(2, 3, 0, 1)
            normal: Tensor = self.bn(y.reshape(clips, v * c, -1))
            return normal.view(clips, v, c, -1).permute(2, 3, 0, 1).reshape(c, frames, v)
        scale, shift = (entry.view(v, c).T[:, None] for entry in _affine(self.bn))
        return torch.baddbmm(shift, y, self.back * scale)


class _Frames(nn.Module):
    """Channels move between frames, are mixed, and move again (paper, Sec. 3.2, adaptive)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shift_in = Shift(channels)
        self.shift_out = Shift(channels, stride)
        self.temporal_linear = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # (C, T, N M, V)
        y = F.relu(_mixed(self.temporal_linear, self.shift_in(_normal(self.bn, x))))
        return _normal(self.bn2, self.shift_out(y))


class Shift(nn.Module):
    """x (C, T, N, V), read at frame ``stride h + ypos`` and joint ``w + xpos`` for each frame h and joint w.

    Both are numbers per channel, and values between frames or joints are interpolated linearly; outside the clip,
    x is 0. With stride 2, the frame is half a frame later.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.xpos = nn.Parameter(torch.empty(channels).uniform_(-1e-8, 1e-8))
        self.ypos = nn.Parameter(torch.empty(channels).uniform_(-1, 1))
        self.sideways = False  # whether xpos is large enough to matter; a Python bool, so that a GPU need not wait

    def forward(self, x: Tensor) -> Tensor:
        c, t, n, v = x.shape
        at = torch.arange(t // self.stride, device=x.device) * self.stride + self._frames()[:, None]  # (C, T')
        y = torch.bmm(_read(t, at), x.view(c, t, n * v)).view(c, -1, n, v)
        if not self.sideways:
            return y
        at = torch.arange(v, device=x.device) + self.xpos.detach()[:, None]  # (C, V)
        return torch.bmm(y.flatten(1, 2), _read(v, at).transpose(1, 2)).view_as(y)

    def _frames(self) -> Tensor:
        """(C,) the shifts in time, with the authors' gradient."""
        shift = self.ypos + 0.5 if self.stride == 2 else self.ypos + 0
        if shift.requires_grad:
            shift.register_hook(lambda gradient: _PUSH * gradient.sign())  # type: ignore[no-untyped-call]
        return shift

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.sideways = bool(self.xpos.detach().abs().max() > _STILL)


def _read(count: int, at: Tensor) -> Tensor:
    """(C, len, count): weights of linear interpolation at the positions ``at`` (C, len) among 0 .. count - 1."""
    return F.relu(1 - (torch.arange(count, device=at.device) - at[:, :, None]).abs())


def _turn(channels: int, num_joints: int) -> Tensor:
    """(C, V, V): for channel c, joint v of the product x @ turn is joint (v + c) mod V of x."""
    joint = torch.arange(num_joints)
    source = (joint + torch.arange(channels)[:, None]) % num_joints  # (C, V)
    return (joint[:, None] == source[:, None]).float()


def _mixed(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """The 1x1 convolution of x (C, T, N, V)."""
    assert conv.bias is not None
    return torch.addmm(conv.bias[:, None], conv.weight.flatten(1), x.flatten(1)).view(-1, *x.shape[1:])


def _normal(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """The batch normalisation of x (C, T, N, V); in evaluation it is one product and one sum."""
    if norm.training:
        normal: Tensor = norm(x.permute(2, 0, 1, 3).contiguous())
        return normal.permute(1, 2, 0, 3).contiguous()
    scale, shift = (entry.view(-1, 1, 1, 1) for entry in _affine(norm))
    return torch.addcmul(shift, x, scale)


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """The factor and the summand that a normalisation applies to its features in evaluation."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return scale, norm.bias - norm.running_mean * scale


def _conv_norm(layer: ConvNorm, x: Tensor) -> Tensor:
    """A 1x1 convolution with a stride and its normalisation, of x (C, T, N, V)."""
    return _normal(layer.bn, _mixed(layer.conv, x[:, :: layer.conv.stride[0]].contiguous()))
