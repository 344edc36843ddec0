"""MS-G3D as in pyskl."""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import binary_adjacency, by_column, k_adjacency, window_links
from skeleton_adv.models.layers import by_person
from skeleton_adv.models.layouts import skeleton_with
from skeleton_adv.models.msg3d import STAGES, WINDOWS, MultiScaleGraph, Width, add_stages, through_stages
from skeleton_adv.models.pyskl.parts import HEAD, Recogniser

_LAYERS = {
    **{f"backbone.{part}{stage}": True for stage in STAGES for part in ("gcn3d", "sgcn", "tcn")},
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
        joints = by_column(k_adjacency(links, scales)).float()
        windows = [by_column(k_adjacency(window_links(links, frames), window_scales)).float() for frames in WINDOWS]
        add_stages(self, channels, width, joints, windows, _Graph)

    def forward(self, x: Tensor) -> Tensor:
        return through_stages(self, by_person(x, self.data_bn))


class _Graph(MultiScaleGraph):
    """The graph convolution by column, with a learned change of another name and shape."""

    def add_residual(self, adjacency: Tensor) -> None:
        self.PA = nn.Parameter(torch.empty_like(adjacency).uniform_(-1e-6, 1e-6))

    def graph(self) -> Tensor:
        return (self.adjacency + self.PA).mT
