"""SkateFormer: skeletal-temporal transformer with attention inside four kinds of windows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.ranges import Count, Probability, Range, checked
from skeleton_adv.core.skeleton import NTU25, SKELETONS, Skeleton
from skeleton_adv.models.layers import over_time
from skeleton_adv.models.skateformer_front import PARTS, parts_of

Width = Annotated[int, Range("[8, 1024]")]
_STAGES = (1, 2, 2, 2)  # channels as multiples of the width; each stage halves the frames of the one before
_BLOCKS = 2


class SkateFormer(nn.Module):
    """Skeletal-Temporal Transformer for Human Action Recognition (Do and Kim, arXiv 2403.09508).

    Layers, names and order of weights match the authors' code (KAIST-VICLab/SkateFormer), whose checkpoints load
    directly. Input x (N, C, T, V, M) with T = ``length`` and V joints in the order of
    ``skateformer_front.Partitioned``, and the places ``index_t`` (N, T) of its frames in the clip, from -1 to 1 (None:
    evenly spaced). Output logits (N, num_classes). Inside, x is (N, T, tokens, C).

    - ``heads``: the total of all four kinds of windows and the convolutions; the authors scale attention by the root of
      the number of heads of a kind instead of their channels
    - ``mlp_ratio``: channels inside an MLP as a multiple of those outside (None: the authors' for the skeleton)
    - ``tiled_bias``: the biases of windows of near joints depend on the distance of tokens modulo the frames of a
      window, as in the released code; False: on the distance of frames, as in the paper
    - ``attention_dropout`` and ``drop_path``: rates in training; the latter grows linearly over the blocks

    Raises ``SettingError`` for a skeleton without published parts and for sizes that cannot be divided.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        **{f"stages.{s}.blocks.{b}": False for s in range(len(_STAGES)) for b in range(_BLOCKS)},
        "pool": False,
        "head": False,
    }
    channel_axis: ClassVar[int] = -1

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        length: Count = 64,
        width: Width = 96,
        heads: Count = 32,
        mlp_ratio: Count | None = None,
        tiled_bias: bool = True,
        attention_dropout: Probability = 0.5,
        drop_path: Probability = 0.2,
    ) -> None:
        super().__init__()
        parts = parts_of(skeleton)
        self.length, self.width, self.tokens = length, width, len(parts.joints) * num_persons
        _check_sizes(length, heads, width, self.tokens, parts.near)
        windows = _windows(length // 8, parts.near, self.tokens // parts.size)
        self.joint_person_embedding = nn.Parameter(torch.zeros(width, self.tokens))
        self.stem = nn.Sequential(
            *(_Pointwise(channels, 2 * channels), nn.GELU(), _Pointwise(2 * channels, 3 * channels), nn.GELU()),
            _Pointwise(3 * channels, width),
        )
        ratio = mlp_ratio or parts.mlp_ratio
        rates = iter(torch.linspace(0, drop_path, len(_STAGES) * _BLOCKS).tolist())

        def transformer(outputs: int) -> _Transformer:
            own = (windows, heads, ratio, tiled_bias, attention_dropout)
            return _Transformer(outputs, self.tokens, *own, next(rates))

        self.stages = _stages(width, transformer)
        inputs = _STAGES[-1] * width
        self.pool = nn.Identity()  # names the mean over frames and tokens
        self.head = nn.Linear(inputs, num_classes)
        self.apply(_initialise)
        nn.init.trunc_normal_(self.joint_person_embedding, std=0.02)

    def forward(self, x: Tensor, index_t: Tensor | None = None) -> Tensor:
        n, c, t, v, m = x.shape
        if (t, v * m) != (self.length, self.tokens):
            raise SettingError(
                f"this SkateFormer takes {self.length} frames of {self.tokens} joints of all persons, not {t} of "
                f"{v * m}: choose them with the preprocessing skeleton_adv.models.skateformer_front.Partitioned"
            )
        if index_t is None:
            index_t = torch.linspace(-1, 1, t, dtype=x.dtype, device=x.device)[None]
        code = _time_code(index_t.to(x.dtype), self.width)[:, :, None]  # (N, T, 1, width)
        x = self.stem(x.permute(0, 2, 4, 3, 1).reshape(n, t, m * v, c)) + code * self.joint_person_embedding.T
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.head(self.pool(x.mean(dim=(1, 2))))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of a checkpoint's weights, for the released kind of bias.

        Raises ``CheckpointError`` if no skeleton with published parts fits.
        """
        width, tokens = weights["joint_person_embedding"].shape
        first = "stages.0.blocks.0.transformer"
        reach, size, _, heads = weights[f"{first}.attention.1.relative_position_bias_table"].shape
        for name, parts in PARTS.items():
            if tokens % len(parts.joints) == 0 and tokens // parts.size == size:
                return cls(
                    SKELETONS[name],
                    num_classes=len(weights["head.weight"]),
                    num_persons=tokens // len(parts.joints),
                    channels=weights["stem.0.weight"].shape[1],
                    length=8 * ((reach + 1) // 2),
                    width=width,
                    heads=8 * heads,
                    mlp_ratio=len(weights[f"{first}.mlp.fc1.weight"]) // width,
                )
        raise CheckpointError(f"the weights are for {tokens} joints of all persons: known bodies are {[*PARTS]}")


@dataclass(frozen=True)
class _Window:
    """Windows of ``frames`` x ``joints`` tokens: consecutive ones, or far ones at equal distances."""

    frames: int
    joints: int
    far_frames: bool
    far_joints: bool

    def split(self, x: Tensor) -> Tensor:
        """x (N, T, U, 3, heads, C) -> (3, N, T / frames, U / joints, heads, frames joints, C)."""
        n, t, u, _, heads, c = x.shape
        a = (self.frames, t // self.frames) if self.far_frames else (t // self.frames, self.frames)
        b = (self.joints, u // self.joints) if self.far_joints else (u // self.joints, self.joints)
        x = x.view(n, *a, *b, 3, heads, c)
        g, i = (2, 1) if self.far_frames else (1, 2)
        h, j = (4, 3) if self.far_joints else (3, 4)
        return x.permute(5, 0, g, h, 6, i, j, 7).flatten(5, 6)

    def join(self, x: Tensor) -> Tensor:
        """x (N, T / frames, U / joints, heads, frames joints, C) -> (N, T, U, heads C)."""
        n, g, h, heads, _, c = x.shape
        x = x.view(n, g, h, heads, self.frames, self.joints, c)
        a = (4, 1) if self.far_frames else (1, 4)
        b = (5, 2) if self.far_joints else (2, 5)
        return x.permute(0, *a, *b, 3, 6).reshape(n, g * self.frames, h * self.joints, heads * c)


def _check_sizes(length: int, heads: int, width: int, tokens: int, near: int) -> None:
    if length % 8 or heads % 8 or width % heads:
        raise SettingError(
            f"architecture.length={length} and heads={heads} must be multiples of 8, and width={width} of heads"
        )
    if tokens % near:
        raise SettingError(f"{tokens} joints of all persons are no multiple of {near}: use 2 persons")


def _stages(width: int, transformer: Callable[[int], nn.Module]) -> nn.ModuleList:
    """The stages of blocks; ``transformer`` makes one of a number of channels."""
    stages, inputs = nn.ModuleList(), width
    for number, factor in enumerate(_STAGES):
        outputs = factor * width
        down = _Down(inputs, outputs) if number else None
        stages.append(_Stage(down, [transformer(outputs) for _ in range(_BLOCKS)]))
        inputs = outputs
    return stages


def _windows(frames: int, near: int, far: int) -> tuple[_Window, ...]:
    """The four kinds of windows, in the order of their weights (paper, Fig. 3)."""
    joints = ((near, False), (far, True))
    return tuple(_Window(frames, count, distant, apart) for distant in (False, True) for count, apart in joints)


class _Attention(nn.Module):
    """Attention inside the windows of one kind, with a learned bias per relative position."""

    def __init__(self, window: _Window, heads: int, tiled: bool, dropout: float) -> None:
        super().__init__()
        self.window, self.heads, self.tiled = window, heads, tiled
        pairs = (window.joints, window.joints) if window.far_joints else ()
        self.relative_position_bias_table = nn.Parameter(torch.empty(2 * window.frames - 1, *pairs, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, U, 3 heads C)
        x = x.reshape(*x.shape[:3], 3, self.heads, -1)
        query, key, value = self.window.split(x)
        scores = query * self.heads**-0.5 @ key.transpose(-2, -1) + self._bias()
        return self.window.join(self.dropout(F.softmax(scores, dim=-1)) @ value)

    def _bias(self) -> Tensor:
        """(heads, tokens, tokens) for the tokens of a window, whose numbers are ``frame * joints + joint``."""
        frames, joints = self.window.frames, self.window.joints
        token = torch.arange(frames * joints, device=self.relative_position_bias_table.device)
        frame = token // joints
        if not self.window.far_joints and self.tiled:
            frame = token % frames
        offset = frame[:, None] - frame[None] + frames - 1
        table = self.relative_position_bias_table
        if self.window.far_joints:
            joint = token % joints
            return table[offset, joint[:, None], joint[None]].permute(2, 0, 1)
        return table[offset].permute(2, 0, 1)


class _Transformer(nn.Module):
    """Graph convolution, convolution over time and attention side by side, then an MLP (paper, Fig. 2)."""

    def __init__(
        self,
        channels: int,
        tokens: int,
        windows: Sequence[_Window],
        heads: int,
        mlp_ratio: int,
        tiled: bool,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.gconv = nn.Parameter(torch.empty(heads // 4, tokens, tokens))
        nn.init.trunc_normal_(self.gconv, std=0.02)
        self.norm_1 = nn.LayerNorm(channels)
        self.mapping = nn.Linear(channels, 2 * channels)
        self.tconv = nn.Conv2d(channels // 4, channels // 4, (7, 1), padding=(3, 0), groups=heads // 4)
        self.attention = nn.ModuleList(_Attention(window, heads // 8, tiled, dropout) for window in windows)
        self.proj = nn.Linear(channels, channels)
        self.norm_2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(channels, mlp_ratio * channels))
        self.mlp.add_module("act", nn.GELU())
        self.mlp.add_module("fc2", nn.Linear(mlp_ratio * channels, channels))
        self.drop_path = _DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:  # (N, T, U, C)
        c = x.shape[3]
        graph, time, attended = self.mapping(self.norm_1(x)).split([c // 4, c // 4, 3 * c // 2], dim=3)
        parts = [self._over_joints(graph), self.tconv(time.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)]
        parts += [a(chunk) for a, chunk in zip(self.attention, attended.chunk(4, dim=3), strict=True)]
        x = x + self.drop_path(self.proj(torch.cat(parts, dim=3)))
        y: Tensor = x + self.drop_path(self.mlp(self.norm_2(x)))
        return y

    def _over_joints(self, x: Tensor) -> Tensor:
        """x (N, T, U, C), mixed over tokens by one matrix for each group of channels."""
        n, t, u, c = x.shape
        groups = len(self.gconv)
        x = x.reshape(n * t, u, groups, -1).permute(2, 1, 0, 3)  # (groups, U, N T, C / groups)
        x = torch.bmm(self.gconv, x.flatten(2)).view(groups, u, n * t, -1)
        return x.permute(2, 1, 0, 3).reshape(n, t, u, c)


class _Stage(nn.Module):
    def __init__(self, down: nn.Module | None, transformers: list[nn.Module]) -> None:
        super().__init__()
        downs = [down, *[None] * (len(transformers) - 1)]
        self.blocks = nn.ModuleList(_Block(*pair) for pair in zip(downs, transformers, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class _Block(nn.Module):
    def __init__(self, downsample: nn.Module | None, transformer: nn.Module) -> None:
        super().__init__()
        self.downsample, self.transformer = downsample, transformer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.transformer(x if self.downsample is None else self.downsample(x))
        return y


class _Down(nn.Module):
    """Half the frames of x (N, T, U, C)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduction = over_time(inputs, outputs, 7, stride=2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.reduction(x.permute(0, 3, 1, 2)))
        return y.permute(0, 2, 3, 1)


class _DropPath(nn.Module):
    """In training, a branch of a residual network is left out of some clips (Huang et al., arXiv 1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) >= self.rate
        return x * kept / (1 - self.rate)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution of x (..., C)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.flatten(1), self.bias)


def _time_code(place: Tensor, channels: int) -> Tensor:
    """(N, T, channels): sines and cosines of the places (N, T) of frames."""
    even = torch.arange(0, channels, 2, dtype=place.dtype, device=place.device)
    phase = place[..., None] * torch.exp(even * (-math.log(10000.0) / channels))
    return torch.stack([phase.sin(), phase.cos()], dim=3).flatten(2)


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
