"""HCN: hierarchical co-occurrence network."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Probability, checked
from skeleton_adv.models.stages import Stages

Motion = Literal["resize", "nearest", "zero_first"]
_BY_PERSON = (*("conv1", "conv2", "conv3", "conv4"), *("conv1m", "conv2m", "conv3m", "conv4m"), "conv5", "conv6")


class HCN(nn.Module):
    """Co-occurrence Feature Learning from Skeleton Data (Li et al., arXiv 1804.06055).

    Layers, names and order of weights match the public implementation HCN-pytorch, whose
    checkpoints load directly. HCN-pytorch differs from the paper in the width of conv2, which is the
    number of frames there. ``motion``: ``resize`` stretches the T-1 differences linearly to T frames (HCN-pytorch),
    ``nearest`` repeats the first of them (HCN-PrototypeLoss-PyTorch), ``zero_first`` puts a zero frame first (the
    authors' later code). Persons are fused by their
    maximum after conv6. Input (N, C, T, V, M), output logits (N, num_classes).

    Raises ``SettingError`` if ``num_frames`` or ``conv2`` is not a multiple of 16, because four poolings halve it.
    """

    layers: ClassVar[Mapping[str, bool]] = {**dict.fromkeys(_BY_PERSON, True), "fc7": False, "fc8": False}
    # Layers whose features belong together, because the streams of positions and motions have the same stages.
    feature_stages: ClassVar[Stages] = (
        *((f"conv{number}", f"conv{number}m") for number in range(1, 5)),
        *(("conv5",), ("conv6",), ("fc7",)),
    )

    @checked
    def __init__(
        self,
        num_joints: Count = 25,
        num_classes: Count = 60,
        num_frames: Count = 64,
        channels: Count = 3,
        conv2: Count | None = None,
        fc7: Count = 512,
        dropout: Probability = 0.5,
        motion: Motion = "resize",
    ) -> None:
        super().__init__()
        width = conv2 or num_frames
        if num_frames % 16 or width % 16:
            raise SettingError(f"num_frames={num_frames} and conv2={width} must be multiples of 16 for HCN")
        self.num_frames, self.motion = num_frames, motion
        self.register_buffer("stretch", _stretch(num_frames, motion), persistent=False)
        self.conv1, self.conv2, self.conv3, self.conv4 = _stream(channels, width, num_joints, dropout)
        self.conv1m, self.conv2m, self.conv3m, self.conv4m = _stream(channels, width, num_joints, dropout)
        self.conv5 = _stage(128, 128, nn.ReLU(), nn.Dropout2d(dropout))
        self.conv6 = _stage(128, 256, nn.ReLU(), nn.Dropout2d(dropout))
        features = 256 * (num_frames // 16) * (width // 16)
        self.fc7 = nn.Sequential(nn.Linear(features, fc7), nn.ReLU(), nn.Dropout(dropout))
        self.fc8 = nn.Linear(fc7, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        persons = x.permute(0, 4, 1, 2, 3).reshape(n * m, c, t, v)
        position = self.conv4(self.conv3(_joints_first(self.conv2(self.conv1(persons)))))
        moving = self._difference(persons)
        motion = self.conv4m(self.conv3m(_joints_first(self.conv2m(self.conv1m(moving)))))
        features = self.conv6(self.conv5(torch.cat([position, motion], dim=1)))
        fused = features.unflatten(0, (n, m)).amax(dim=1)
        logits: Tensor = self.fc8(self.fc7(fused.flatten(1)))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], motion: Motion = "resize") -> Self:
        """An untrained network with the sizes of these weights."""
        conv2, features = weights["conv2.weight"].shape[0], weights["fc7.0.weight"].shape[1]
        return cls(
            num_joints=weights["conv3.0.weight"].shape[1],
            num_classes=weights["fc8.weight"].shape[0],
            num_frames=16 * (features // (256 * (conv2 // 16))),
            channels=weights["conv1.0.weight"].shape[1],
            conv2=conv2,
            fc7=weights["fc7.0.weight"].shape[0],
            motion=motion,
        )

    def _difference(self, x: Tensor) -> Tensor:
        """Motion between frames (N*M, C, T, V), as ``motion`` defines it."""
        difference = x[:, :, 1:] - x[:, :, :-1]
        if self.motion == "zero_first":
            return F.pad(difference, (0, 0, 1, 0))
        # A matrix product, because the backward pass of F.interpolate is not deterministic on a GPU.
        return torch.einsum("nctv,ts->ncsv", difference, self.stretch)


def _stretch(num_frames: int, motion: Motion) -> Tensor:
    """(T-1, T) weights of a linear or nearest resize from T-1 to T frames, as in ``F.interpolate``."""
    if motion == "nearest":
        nearest = torch.arange(num_frames) * (num_frames - 1) // num_frames
        return F.one_hot(nearest, num_frames - 1).T.float()
    frames = torch.eye(num_frames - 1, dtype=torch.float64)[None]
    return F.interpolate(frames, size=num_frames, mode="linear", align_corners=False)[0].float()


def _stream(channels: int, width: int, num_joints: int, dropout: float) -> tuple[nn.Module, ...]:
    """conv1 to conv4, with separate weights for positions and motion."""
    return (
        nn.Sequential(nn.Conv2d(channels, 64, 1), nn.ReLU()),
        nn.Conv2d(64, width, (3, 1), padding=(1, 0)),
        _stage(num_joints, 32),
        _stage(32, 64, nn.Dropout2d(dropout)),
    )


def _stage(inputs: int, outputs: int, *between: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), *between, nn.MaxPool2d(2))


def _joints_first(x: Tensor) -> Tensor:
    """(N, width, T, V) -> (N, V, T, width): joints become channels, so that filters mix all joints."""
    return x.permute(0, 3, 2, 1)
