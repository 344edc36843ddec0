"""MS-G3D as in pyskl."""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import binary_adjacency, by_column, k_adjacency, window_links
from skeleton_adv.models.layers import MultiScale, by_person, shortcut
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.pyskl.parts import HEAD, Recogniser

WINDOWS = (3, 5)  # frames
DILATIONS = (1, 2, 3, 4)
Width = Annotated[int, Range("[6, 1536]")]
_LAYERS = {
    **{f"backbone.{part}{stage}": True for stage in (1, 2, 3) for part in ("gcn3d", "sgcn", "tcn")},
    **HEAD,
}


class MSG3D(Recogniser):
    """Disentangling and Unifying Graph Convolutions (Liu et al., arXiv 2003.14111) as in pyskl.

    Layers, names and order of weights match pyskl's ``.pth`` files. Input (N, C, T, V, num_persons) of any T, output
    logits (N, num_classes). ``scales`` and ``window_scales`` count the distances between joints, 0 included; a
    scale beyond the longest path of the skeleton mixes no joints. Differs from the authors' code: graphs are divided
    by the sums of their columns.
    """

    layers: ClassVar[Mapping[str, bool]] = _LAYERS

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 96,
        scales: Count = 13,
        window_scales: Count = 6,
    ) -> None:
        backbone = _Backbone(
            skeleton, num_persons * skeleton.num_joints * channels, channels, width, scales, window_scales
        )
        super().__init__(skeleton, backbone, 4 * width, num_classes)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing key."""
        scales, joints, _ = weights["backbone.sgcn1.0.PA"].shape
        width, inputs = weights["backbone.sgcn1.0.mlp.layers.0.weight"].shape[:2]
        channels = inputs // scales
        skeleton = skeleton_with(joints, channels)
        persons = weights["backbone.data_bn.weight"].shape[0] // (joints * channels)
        windows = weights["backbone.gcn3d1.gcn3d.0.gcn3d.1.PA"].shape[0]
        return cls(skeleton, weights["cls_head.fc_cls.weight"].shape[0], persons, channels, width, scales, windows)


class _Backbone(nn.Module):
    def __init__(
        self, skeleton: Skeleton, features: int, channels: int, width: int, scales: int, window_scales: int
    ) -> None:
        super().__init__()
        self.data_bn = nn.BatchNorm1d(features)
        links = binary_adjacency(skeleton, "fork")
        graph = by_column(k_adjacency(links, scales)).float()
        windows = [by_column(k_adjacency(window_links(links, frames), window_scales)).float() for frames in WINDOWS]
        inputs = channels
        for stage, (outputs, stride) in enumerate(((width, 1), (2 * width, 2), (4 * width, 2)), start=1):
            inner = outputs if stage == 1 else inputs
            spatial = [
                _Graph(inputs, inner, graph),
                _Temporal(inner, outputs, stride),
                _Temporal(outputs, outputs, activation=False),
            ]
            self.add_module(f"gcn3d{stage}", _Windows(inputs, inner, outputs, stride, windows))
            self.add_module(f"sgcn{stage}", nn.Sequential(*spatial))
            self.add_module(f"tcn{stage}", _Temporal(outputs, outputs))
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        x = by_person(x, self.data_bn)
        for stage in (1, 2, 3):
            y = self.get_submodule(f"sgcn{stage}")(x) + self.get_submodule(f"gcn3d{stage}")(x)
            x = self.get_submodule(f"tcn{stage}")(F.relu(y))
        return x


class _Graph(nn.Module):
    """Multi-scale graph convolution: the joints at each distance are mixed separately, all channels together."""

    A: Tensor

    def __init__(self, inputs: int, outputs: int, graph: Tensor) -> None:
        super().__init__()
        self.register_buffer("A", graph, persistent=False)
        self.PA = nn.Parameter(torch.empty_like(graph).uniform_(-1e-6, 1e-6))
        self.mlp = _Perceptron(len(graph) * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        mixed = x.reshape(n, 1, c * t, v) @ (self.A + self.PA)  # (N, S, C T, V)
        y: Tensor = self.mlp(mixed.view(n, -1, t, v))
        return y


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


class _Temporal(MultiScale):
    """Six temporal branches and a residual."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, activation: bool = True) -> None:
        super().__init__(inputs, outputs, 3, stride, DILATIONS)
        self.residual = shortcut(inputs, outputs, stride)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x) + self.residual(x)
        return F.relu(y) if self.activation else y


class _Windows(nn.Module):
    """The sum of graph convolutions over windows of several lengths."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, graphs: Sequence[Tensor]) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList(
            _Window(inputs, inner, outputs, stride, frames, graph)
            for frames, graph in zip(WINDOWS, graphs, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([window(x) for window in self.gcn3d]).sum(dim=0)


class _Window(nn.Module):
    """Graph convolution over all joints of a window of frames, reduced to one frame."""

    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, frames: int, graph: Tensor) -> None:
        super().__init__()
        self.gcn3d = nn.Sequential(_Unfolded(frames, stride), _Graph(inputs, inner, graph))
        self.out_conv = nn.Conv3d(inner, outputs, (1, frames, 1))
        self.out_bn = nn.BatchNorm2d(outputs)
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        y = self.gcn3d(x).unflatten(3, (self.frames, -1))  # (N, inner, T', frames, V)
        z: Tensor = self.out_bn(self.out_conv(y).squeeze(3))
        return z


class _Unfolded(nn.Module):
    """x (N, C, T, V) as the windows around each frame, (N, C, T / stride, frames V); frames outside the clip are 0."""

    def __init__(self, frames: int, stride: int) -> None:
        super().__init__()
        self.frames, self.stride = frames, stride

    def forward(self, x: Tensor) -> Tensor:
        around = F.pad(x, (0, 0, self.frames // 2, self.frames // 2))
        return around.unfold(2, self.frames, self.stride).transpose(3, 4).flatten(3)
