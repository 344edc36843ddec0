"""What the networks of pyskl share. Inside a network, x is (N M, C, T, V): persons are separate clips."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.models.layers import UNITS, by_person, over_persons, over_time, shortcut

Width = Annotated[int, Range("[4, 1024]")]
HEAD = {"cls_head.pool": False, "cls_head.fc_cls": False}
LAYERS = {f"backbone.gcn.{unit}": True for unit in range(len(UNITS))} | HEAD


class Recogniser(nn.Module):
    """A backbone, and pyskl's head: the mean over frames, joints and persons, absent ones included, and a linear layer.

    Input (N, C, T, V, M), output logits (N, num_classes). For several samplings of each clip,
    (N, clips, C, T, V, M), the output is the log of the mean of their softmax, as pyskl averages at test.
    """

    layers: ClassVar[Mapping[str, bool]]

    def __init__(self, skeleton: Skeleton, backbone: nn.Module, outputs: int, num_classes: int) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.backbone, self.cls_head = backbone, _Head(outputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 6:
            # One after the other, so that memory does not grow with their number.
            return log_mean_softmax([self(sampling) for sampling in x.unbind(1)])
        logits: Tensor = self.cls_head(self.backbone(x), x.shape[-1])
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        raise NotImplementedError


class _Head(nn.Module):
    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc_cls = nn.Linear(inputs, num_classes)
        nn.init.normal_(self.fc_cls.weight, 0, 0.01)
        nn.init.zeros_(self.fc_cls.bias)

    def forward(self, x: Tensor, persons: int) -> Tensor:
        logits: Tensor = self.fc_cls(self.pool(over_persons(x, persons)))
        return logits


def log_mean_softmax(logits: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """(N, K): the log of the weighted mean of the softmax of each (N, K); with one, its log-softmax."""
    shares = torch.tensor(weights or [1.0] * len(logits), dtype=logits[0].dtype, device=logits[0].device)
    logs = torch.stack([F.log_softmax(some, dim=1) for some in logits])
    return torch.logsumexp(logs + (shares / shares.sum()).log()[:, None, None], dim=0)


class Units(nn.Module):
    """Batch normalisation of the input and ten units."""

    def __init__(self, features: int, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(features)
        self.gcn = nn.ModuleList(units)

    def forward(self, x: Tensor) -> Tensor:
        x = by_person(x, self.data_bn)
        for unit in self.gcn:
            x = unit(x)
        return x


class Unit(nn.Module):
    """``relu(tcn(gcn(x)) + residual(x))``; the first unit has no residual."""

    def __init__(self, gcn: nn.Module, tcn: nn.Module, residual: nn.Module | None) -> None:
        super().__init__()
        self.gcn, self.tcn, self.residual = gcn, tcn, residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn(self.gcn(x))
        return F.relu(y + self.residual(x) if self.residual is not None else y)


def sizes(channels: int, width: int) -> Iterator[tuple[int, int, int, nn.Module | None]]:
    """Of each of the ten units: input channels, output channels, stride in time and residual."""
    inputs = channels
    for number, (factor, stride) in enumerate(UNITS):
        outputs = factor * width
        yield inputs, outputs, stride, shortcut(inputs, outputs, stride) if number else None
        inputs = outputs


class SixBranches(nn.Module):
    """ST-GCN++'s temporal module: convolutions of four dilations, a maximum over three frames and a 1x1 convolution.

    The first branch takes the channels that remain when all six receive equally many.
    """

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        part = channels // 6
        if not part:
            raise SettingError(f"{channels} channels are too few for six temporal branches: choose a width >= 6")
        widths = [channels - 5 * part, *[part] * 5]
        branches: list[nn.Module] = []
        for dilation, width in enumerate(widths[:4], start=1):
            branches.append(nn.Sequential(*_narrowed(channels, width), _Dilated(width, stride, dilation)))
        branches.append(nn.Sequential(*_narrowed(channels, part), nn.MaxPool2d((3, 1), (stride, 1), (1, 0))))
        branches.append(nn.Conv2d(channels, part, 1, (stride, 1)))
        self.branches = nn.ModuleList(branches)
        self.transform = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, 1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.transform(self.branched(x)))
        return y

    def branched(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class _Dilated(nn.Module):
    def __init__(self, channels: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv = over_time(channels, channels, 3, stride, dilation)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


def _narrowed(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
