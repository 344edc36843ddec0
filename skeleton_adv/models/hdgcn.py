"""HD-GCN: hierarchically decomposed graph convolutions."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models import initialise
from skeleton_adv.models.graph import hierarchical_adjacency, hierarchy
from skeleton_adv.models.layers import UNITS, ConvNorm, MultiScale, by_person, matched, over_persons, shortcut
from skeleton_adv.models.layouts import skeleton_with

Center = Literal[1, 2, 21]
CENTERS: tuple[Center, ...] = (1, 2, 21)
Width = Annotated[int, Range("[4, 1024]")]
_NAMES = tuple(f"l{number}" for number in range(1, len(UNITS) + 1))


class HDGCN(nn.Module):
    """Hierarchically Decomposed Graph Convolutional Networks (Lee et al., arXiv 2208.10741).

    Layers, names and order of weights match the authors' code, whose checkpoints load directly.
    Input (N, C, T, V, M) of any T, output logits (N, num_classes). The mean over persons includes absent ones. The
    network also links each joint to its nearest ones in feature space; gradients are those of the chosen links.

    - ``width``: the channels of the first units, a multiple of 4; the last units have four times as many
    - ``center``: the joint, counted from 1, from which NTU's joints are grouped: 1, 2 or 21

    Raises ``SettingError`` for a skeleton other than NTU's, and if ``width`` is not a multiple of 4.
    """

    layers: ClassVar[Mapping[str, bool]] = {**dict.fromkeys(_NAMES, True), "pool": False, "fc": False}

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
        center: Center = 1,
    ) -> None:
        super().__init__()
        self.skeleton, self.center = skeleton, center
        adjacency, members = hierarchical_adjacency(skeleton, center), level_members(skeleton, center)
        self.data_bn = nn.BatchNorm1d(num_persons * skeleton.num_joints * channels)
        inputs = channels
        for name, (factor, stride) in zip(_NAMES, UNITS, strict=True):
            outputs = factor * width
            first = name == _NAMES[0]
            self.add_module(name, _Unit(inputs, outputs, stride, adjacency, members, first))
            inputs = outputs
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc = nn.Linear(inputs, num_classes)
        initialise.classifier(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        y = by_person(x, self.data_bn)
        for name in _NAMES:
            y = self.get_submodule(name)(y)
        logits: Tensor = self.fc(self.pool(over_persons(y, x.shape[-1])))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing one.

        The weights do not name the centre: the centre whose graphs are closest to the learned ones is chosen.
        """
        joints, channels = weights["l1.gcn1.PA"].shape[-1], weights["l1.gcn1.conv_down.0.0.weight"].shape[1]
        skeleton = skeleton_with(joints, channels)
        return cls(
            skeleton,
            num_classes=weights["fc.weight"].shape[0],
            num_persons=weights["data_bn.weight"].shape[0] // (joints * channels),
            channels=channels,
            width=weights["fc.weight"].shape[1] // 4,
            center=_closest_center(weights, skeleton),
        )

    def take_constants(self, weights: Mapping[str, Tensor]) -> None:
        """Raise ``CheckpointError`` if the graphs of a checkpoint are those of another centre: no key shows it."""
        center = _closest_center(weights, self.skeleton)
        if center != self.center:
            raise CheckpointError(
                f"the weights are of HD-GCN with center {center}, not {self.center}: set "
                f"model.architecture.center={center}"
            )


def _closest_center(weights: Mapping[str, Tensor], skeleton: Skeleton) -> Center:
    """The centre whose graphs are closest to the learned ones."""
    learned = torch.stack([weights[f"{name}.gcn1.PA"].double() for name in _NAMES])
    far = {center: (learned - hierarchical_adjacency(skeleton, center)).norm().item() for center in CENTERS}
    return min(CENTERS, key=lambda center: far[center])


def level_members(skeleton: Skeleton, center: int = 1) -> Tensor:
    """(6, V): 1 for the joints of each level, which are those of two neighbouring groups."""
    members = torch.zeros(6, skeleton.num_joints)
    for level, groups in enumerate(pairwise(hierarchy(skeleton, center))):
        members[level, [joint for group in groups for joint in group]] = 1
    return members


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, adjacency: Tensor, members: Tensor, first: bool) -> None:
        super().__init__()
        self.gcn1 = _Hierarchical(inputs, outputs, adjacency, None if first else members)
        self.tcn1 = _Temporal(outputs, outputs, kernel=5, stride=stride, dilations=(1, 2))
        self.residual: nn.Module | None = None if first else shortcut(inputs, outputs, stride)
        if self.residual is not None:
            initialise.plain(self.residual)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tcn1(self.gcn1(x))
        return F.relu(y + self.residual(x) if self.residual is not None else y)


class _Hierarchical(nn.Module):
    """Graph convolution over the levels of the hierarchy (paper, Sec. 3.2 and 3.3).

    Each level has three learned graphs, which act by row, and links to the nearest joints in feature space. The
    levels are added, with weights by attention if ``members`` are given.
    """

    def __init__(self, inputs: int, outputs: int, adjacency: Tensor, members: Tensor | None) -> None:
        super().__init__()
        levels, graphs = adjacency.shape[:2]
        inner = outputs // (graphs + 1)
        self.PA = nn.Parameter(adjacency.clone())
        self.conv_down = nn.ModuleList(_filters(inputs, inner) for _ in range(levels))
        self.conv = nn.ModuleList(
            nn.ModuleList([*(_filters(inner, inner) for _ in range(graphs)), _Nearest(inner)]) for _ in range(levels)
        )
        if members is not None:
            self.aha = _Attention(outputs, members)
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)
        initialise.plain(self)
        nn.init.constant_(self.bn.weight, 1e-6)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V)
        levels, nearest = self._levels(x)
        if hasattr(self, "aha"):
            share = self.aha(torch.cat([levels.max(dim=3).values, nearest], dim=2))[..., None]  # (N, L, outputs, 1)
            levels = levels * share[:, :, : levels.shape[2], :, None]
            nearest = nearest * share[:, :, levels.shape[2] :]
        total, constant = levels.sum(dim=1), nearest.sum(dim=1)  # nearest joints: constant in time
        total = torch.cat([total, constant[:, :, None].expand(-1, -1, x.shape[2], -1)], dim=1)
        return F.relu(self.bn(total) + self.down(x))

    def _levels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs of every level for x: (N, L, 3/4 outputs, T, V) by its graphs, and (N, L, 1/4 outputs, V).

        All levels are computed together, and channels are mixed before joints, which takes a quarter less time.
        """
        n, _, t, v = x.shape
        levels, graphs = self.PA.shape[:2]
        down = [_parts(layer) for layer in self.conv_down]
        reduced = torch.cat([conv.weight.flatten(1) for conv, _ in down]) @ x.flatten(2)
        reduced = reduced + torch.cat([_bias(conv) for conv, _ in down])[:, None]
        h = F.relu(_normalised(reduced.view(n, -1, t, v), [norm for _, norm in down])).view(n, levels, -1, t * v)
        own = [[_parts(layer) for layer in list(level)[:graphs]] for level in _rows(self.conv)]
        mixing = torch.stack([torch.cat([conv.weight.flatten(1) for conv, _ in level]) for level in own])
        mixed = (mixing @ h).view(n, levels * graphs, -1, v) @ self.PA.flatten(0, 1).mT
        flat = [part for level in own for part in level]
        mixed = mixed.view(n, -1, t, v) + torch.cat([_bias(conv) for conv, _ in flat])[:, None, None]
        mixed = _normalised(mixed, [norm for _, norm in flat]).view(n, levels, -1, t, v)
        still = h.view(n, levels, -1, t, v).mean(dim=3)
        return mixed, _nearest([level[graphs] for level in _rows(self.conv)], still, count=5)


class _Nearest(nn.Module):
    """EdgeConv (Wang et al., arXiv 1801.07829): filters on (neighbour - joint, joint), for ``_nearest``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(2 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


def _nearest(layers: Sequence[nn.Module], h: Tensor, count: int) -> Tensor:
    """(N, L, C, V): for each of L sets h (N, L, C, V), the largest output of its layer over a joint's neighbours.

    The neighbours are the ``count`` joints with the closest features, the joint itself included.
    """
    n, sets, c, v = h.shape
    parts = [_parts(layer.get_submodule("conv")) for layer in layers]
    weight = torch.stack([conv.weight.flatten(1) for conv, _ in parts])  # (L, C, 2 C)
    squares = h.detach().square().sum(dim=2, keepdim=True)
    close = 2 * h.detach().mT @ h.detach() - squares - squares.mT  # (N, L, V, V), minus squared distances
    # A matrix product, because joints that are gathered twice have no deterministic gradient on a GPU.
    chosen = F.one_hot(close.topk(count, dim=3).indices, v).to(h.dtype).flatten(2, 3)  # (N, L, V count, V)
    others = (weight[..., :c] @ h @ chosen.mT).view(n, sets, c, v, count)
    edges = others + ((weight[..., c:] - weight[..., :c]) @ h)[..., None]
    edges = _normalised(edges.view(n, sets * c, v, count), [norm for _, norm in parts])
    return F.leaky_relu(edges, 0.2).max(dim=3).values.view(n, sets, c, v)


class _Attention(nn.Module):
    """A-HA: the share (N, L, C) of each level, from its features (N, L, C, V)."""

    members: Tensor

    def __init__(self, channels: int, members: Tensor) -> None:
        super().__init__()
        inner = channels // 4
        self.register_buffer("members", members, persistent=False)
        self.conv_down = _filters(channels, inner)
        self.edge_conv = _Nearest(inner)
        self.aggregate = nn.Conv1d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = F.relu(self.conv_down(x.transpose(1, 2)))  # (N, C / 4, L, V)
        mean = (reduced * self.members).sum(dim=3) / self.members.sum(dim=1)
        related = _nearest([self.edge_conv], mean[:, None], count=3)[:, 0]
        share: Tensor = self.aggregate(related).sigmoid()
        return share.transpose(1, 2)


class _Temporal(MultiScale):
    """The temporal branches of CTR-GCN, whose dilated convolutions have a bias as a separate parameter."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilations: Sequence[int]) -> None:
        super().__init__(inputs, outputs, kernel, stride, dilations)
        part = outputs // (len(dilations) + 2)
        for branch, dilation in zip(self.branches, dilations, strict=False):
            assert isinstance(branch, nn.Sequential)
            branch[3] = _BiasedConv(part, part, kernel, stride, dilation)
        initialise.jittered(self)


class _BiasedConv(ConvNorm):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, dilation, bias=False)
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.conv(x) + self.bias)
        return y


def _filters(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))


def _parts(layer: nn.Module) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """The convolution and the normalisation of ``_filters``."""
    assert isinstance(layer, nn.Sequential)
    conv, norm = layer
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return conv, norm


def _rows(levels: nn.ModuleList) -> list[nn.ModuleList]:
    return [level for level in levels if isinstance(level, nn.ModuleList)]


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _normalised(x: Tensor, norms: Sequence[nn.BatchNorm2d]) -> Tensor:
    """x (N, C, ...), whose channels are divided equally among the norms."""
    if norms[0].training:
        return torch.cat([norm(part) for norm, part in zip(norms, x.chunk(len(norms), dim=1), strict=True)], dim=1)
    mean, variance = (torch.cat([norm.get_buffer(name) for norm in norms]) for name in ("running_mean", "running_var"))
    weight, bias = torch.cat([norm.weight for norm in norms]), torch.cat([norm.bias for norm in norms])
    return F.batch_norm(x, mean, variance, weight, bias, eps=norms[0].eps)
