"""ST-GCN: spatial temporal graph convolutional network."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.ranges import Count, Probability, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models.graph import distance_adjacency
from skeleton_adv.models.layers import UNITS, by_person, mixed, over_persons, over_time
from skeleton_adv.models.layouts import skeleton_with

Width = Annotated[int, Range("[4, 1024]")]


class STGCN(nn.Module):
    """Spatial Temporal Graph Convolutional Networks (Yan et al., arXiv 1801.07455).

    Layers, names and order of weights match the authors' code (yysijie/st-gcn), whose checkpoints load with or without
    their constant adjacency ``A``. Input (N, C, T, V, M) of any T and M, output logits (N, num_classes). The mean over
    persons includes absent ones. ``dropout``: 0.5 on NTU RGB+D, 0 on Kinetics, after every unit except the first.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        **{f"st_gcn_networks.{number}": True for number in range(len(UNITS))},
        "logits": False,
    }
    adjacency: Tensor

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        channels: Count = 3,
        width: Width = 64,
        dropout: Probability = 0.5,
    ) -> None:
        super().__init__()
        self.skeleton = skeleton
        adjacency = distance_adjacency(skeleton)
        self.register_buffer("adjacency", adjacency, persistent=False)
        self.data_bn = nn.BatchNorm1d(skeleton.num_joints * channels)
        units, inputs = [], channels
        for number, (factor, stride) in enumerate(UNITS):
            units.append(_Unit(inputs, factor * width, stride, dropout if number else 0.0, residual=number > 0))
            inputs = factor * width
        self.st_gcn_networks = nn.ModuleList(units)
        self.edge_importance = nn.ParameterList(torch.ones_like(adjacency) for _ in UNITS)
        self.fcn = nn.Conv2d(inputs, num_classes, 1)
        self.logits = nn.Flatten()
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        persons = x.shape[4]
        x = by_person(x, self.data_bn)
        for unit, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = unit(x, self.adjacency * importance)
        logits: Tensor = self.logits(self.fcn(over_persons(x, persons)[:, :, None, None]))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights."""
        importance, first = weights["edge_importance.0"], weights["st_gcn_networks.0.gcn.conv.weight"]
        return cls(
            skeleton_with(importance.shape[-1], first.shape[1]),
            num_classes=weights["fcn.weight"].shape[0],
            channels=first.shape[1],
            width=first.shape[0] // 3,
        )

    def take_constants(self, weights: Mapping[str, Tensor]) -> None:
        """Compare the graph of a checkpoint with the network's; raises ``CheckpointError`` if they differ."""
        check_graph(self.adjacency, weights, "A")


def check_graph(own: Tensor, weights: Mapping[str, Tensor], key: str) -> None:
    """Raise ``CheckpointError`` if the constant graph in a checkpoint is not that of the network."""
    stored = weights.get(key)
    if stored is not None and (stored.shape != own.shape or (stored.to(own) - own).abs().max() > 1e-4):
        raise CheckpointError(
            f"{key} is another graph than that of this skeleton's joints: the weights are of another order of joints"
        )


class _Spatial(nn.Module):
    """The graph convolution: 1x1 filters for each of three partitions, summed."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 3 * outputs, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return mixed(x, self.conv, adjacency)


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float, residual: bool) -> None:
        super().__init__()
        self.gcn = _Spatial(inputs, outputs)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            over_time(outputs, outputs, 9, stride),
            nn.BatchNorm2d(outputs),
            nn.Dropout(dropout),
        )
        self.residual: nn.Module | None = nn.Identity() if residual else None
        if residual and (inputs != outputs or stride != 1):
            self.residual = nn.Sequential(over_time(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        y = self.tcn(self.gcn(x, adjacency))
        return F.relu(y + self.residual(x) if self.residual is not None else y)


def _initialise(layer: nn.Module) -> None:
    """The authors' initial weights; graph and temporal convolutions alike."""
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
