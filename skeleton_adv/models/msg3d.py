"""MS-G3D: disentangled multi-scale aggregation and unified graph convolutions over space and time."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import binary_adjacency, k_adjacency, reach, symmetric, window_links
from skeleton_adv.models.layers import MultiScale, by_person, over_persons, shortcut
from skeleton_adv.models.layouts import skeleton_with

Width = Annotated[int, Range("[6, 1536]")]
STAGES = (1, 2, 3)  # of 1, 2 and 4 times the width; the second and the third halve the number of frames
WINDOWS = (3, 5)  # frames
_SCALES = {"openpose18": 8}  # the authors' numbers of scales for skeletons other than NTU's
_WINDOW_SCALES = {"openpose18": 8}


class MSG3D(nn.Module):
    """Disentangling and Unifying Graph Convolutions (Liu et al., arXiv 2003.14111).

    Layers, names and order of weights match the authors' code, whose checkpoints load directly. Input
    (N, C, T, V, M) of any T, output logits (N, num_classes). The mean over persons includes absent ones.

    - ``width``: the channels of the first stage, a multiple of 6; the later stages have 2 and 4 times as many
    - ``scales``: how many distances between joints, from 0 links, have their own weights; None: 13 for NTU and 8 for
      OpenPose, as in the authors' code, and for another skeleton 13, or fewer if fewer occur
    - ``window_scales``: the same within windows of 3 and 5 frames; None: 6, and 8 for OpenPose

    Raises ``SettingError`` if ``width`` is not a multiple of 6.
    """

    layers: ClassVar[Mapping[str, bool]] = {**{f"tcn{b}": True for b in STAGES}, "pool": False, "fc": False}

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 96,
        scales: Count | None = None,
        window_scales: Count | None = None,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        links = binary_adjacency(skeleton)
        joints = symmetric(k_adjacency(links, scales or default_scales(skeleton)))
        window_scales = window_scales or _WINDOW_SCALES.get(skeleton.name, 6)
        windows = [symmetric(k_adjacency(window_links(links, frames), window_scales)) for frames in WINDOWS]
        self.data_bn = nn.BatchNorm1d(num_persons * skeleton.num_joints * channels)
        add_stages(self, channels, width, joints, windows, MultiScaleGraph)
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        y = through_stages(self, by_person(x, self.data_bn))
        logits: Tensor = self.fc(self.pool(over_persons(y, x.shape[-1])))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing one."""
        joints = weights["sgcn1.0.A_res"].shape[1]
        scales = weights["sgcn1.0.A_res"].shape[0] // joints
        channels = weights["sgcn1.0.mlp.layers.0.weight"].shape[1] // scales
        window = weights["gcn3d1.gcn3d.0.gcn3d.1.A_res"]
        return cls(
            skeleton_with(joints, channels),
            num_classes=weights["fc.weight"].shape[0],
            num_persons=weights["data_bn.weight"].shape[0] // (joints * channels),
            channels=channels,
            width=weights["fc.weight"].shape[1] // 4,
            scales=scales,
            window_scales=window.shape[0] // window.shape[1],
        )


def default_scales(skeleton: Skeleton) -> int:
    """The authors' number of scales; for a skeleton that they did not use, 13 or all distances that occur."""
    return _SCALES.get(skeleton.name) or min(13, reach(binary_adjacency(skeleton)) + 1)


def add_stages(
    network: nn.Module,
    channels: int,
    width: int,
    joints: Tensor,
    windows: list[Tensor],
    graph: "type[MultiScaleGraph]",
) -> None:
    """Add the three stages to a network: ``gcn3d1``, ``sgcn1``, ``tcn1``, ``gcn3d2`` and so on.

    ``joints`` (S, V, V) and ``windows`` (S, F V, F V), one for each number of frames F, are the normalised graphs;
    ``graph`` is the class of the graph convolutions.
    """
    inputs = channels
    for stage in STAGES:
        outputs, stride = 2 ** (stage - 1) * width, min(stage, 2)
        inner = outputs if stage == 1 else inputs
        paths = [WindowGraph(inputs, inner, outputs, stride, window, joints.shape[-1], graph) for window in windows]
        network.add_module(f"gcn3d{stage}", Windows(paths))
        spatial = graph(inputs, inner, joints)
        temporal = (MultiScaleTime(inner, outputs, stride), MultiScaleTime(outputs, outputs, active=False))
        network.add_module(f"sgcn{stage}", nn.Sequential(spatial, *temporal))
        network.add_module(f"tcn{stage}", MultiScaleTime(outputs, outputs))
        inputs = outputs


def through_stages(network: nn.Module, x: Tensor) -> Tensor:
    """x (N M, C, T, V) after the three stages of a network."""
    for stage in STAGES:
        spatial, windows, time = (network.get_submodule(f"{part}{stage}") for part in ("sgcn", "gcn3d", "tcn"))
        x = time(F.relu(spatial(x) + windows(x)))
    return x


class MultiScaleGraph(nn.Module):
    """Graph convolution with separate weights for every distance between joints, as in Eq. 5 of the paper.

    The graphs (S, V, V) act by row: ``out[u] = sum_v A[u, v] in[v]``. A subclass may store its learned change in
    another form, with ``add_residual`` and ``graph``.
    """

    adjacency: Tensor

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.add_residual(adjacency)
        self.mlp = _Mlp(len(adjacency) * inputs, outputs)

    def add_residual(self, adjacency: Tensor) -> None:
        """Add the learned change of the graph, a parameter, for an adjacency (S, V, V)."""
        self.A_res = nn.Parameter(torch.empty_like(adjacency.flatten(0, 1)).uniform_(-1e-6, 1e-6))

    def graph(self) -> Tensor:
        """(S, V, V): the graphs and their learned changes, to multiply by row."""
        return self.adjacency + self.A_res.view_as(self.adjacency)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V)
        n, c, t, v = x.shape
        # One matrix product for all scales takes two thirds of the time of an einsum.
        mixed = x.reshape(n, 1, c * t, v) @ self.graph().mT  # (N, S, C T, V)
        y: Tensor = self.mlp(mixed.view(n, -1, t, v))
        return y


class WindowGraph(nn.Module):
    """G3D: a graph convolution over all joints in a window of frames, which then becomes one frame.

    ``adjacency`` (S, F V, F V) for windows of F frames; with a stride, only every second window is computed.
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        stride: int,
        adjacency: Tensor,
        num_joints: int,
        graph: type[MultiScaleGraph],
    ) -> None:
        super().__init__()
        self.frames = adjacency.shape[-1] // num_joints
        self.gcn3d = nn.Sequential(_Unfolded(self.frames, stride), graph(inputs, inner, adjacency))
        self.out_conv = nn.Conv3d(inner, outputs, (1, self.frames, 1))
        self.out_bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V)
        y = self.gcn3d(x).unflatten(3, (self.frames, -1))  # (N, inner, T', F, V)
        z: Tensor = self.out_bn(self.out_conv(y).squeeze(3))
        return z


class Windows(nn.Module):
    """The sum of graph convolutions over windows of several sizes."""

    def __init__(self, paths: list[WindowGraph]) -> None:
        super().__init__()
        self.gcn3d = nn.ModuleList(paths)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.gcn3d[0](x)
        for path in self.gcn3d[1:]:
            total = total + path(x)
        return total


class MultiScaleTime(MultiScale):
    """Six temporal branches with a residual; a ReLU follows if ``active``."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, active: bool = True) -> None:
        super().__init__(inputs, outputs, kernel=3, stride=stride, dilations=(1, 2, 3, 4))
        self.residual = shortcut(inputs, outputs, stride)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x) + self.residual(x)
        return F.relu(y) if self.active else y


class _Unfolded(nn.Module):
    """x (N, C, T, V) -> (N, C, T', F V): each frame with its neighbours in a window of F frames, 0 outside the clip."""

    def __init__(self, frames: int, stride: int) -> None:
        super().__init__()
        self.frames, self.stride = frames, stride

    def forward(self, x: Tensor) -> Tensor:
        t, side = x.shape[2], self.frames // 2
        padded = F.pad(x, (0, 0, side, side))
        return torch.cat([padded[:, :, start : start + t : self.stride] for start in range(self.frames)], dim=3)


class _Mlp(nn.Module):
    """A 1x1 convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self.layers
        return F.relu(norm(conv(x)))
