"""InfoGCN: graph convolutions with attention in every frame, and an information bottleneck."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Range, Whole, checked
from skeleton_adv.core.skeleton import NTU25, Skeleton
from skeleton_adv.models import initialise
from skeleton_adv.models.graph import ancestors
from skeleton_adv.models.layers import MultiScale, by_person, matched, over_persons, shortcut
from skeleton_adv.models.layouts import skeleton_with

# The nine blocks: channels as multiples of the width, and stride in time.
BLOCKS = ((1, 1), (1, 1), (1, 1), (2, 2), (2, 1), (2, 1), (4, 2), (4, 1), (4, 1))
_NAMES = tuple(f"l{number}" for number in range(1, len(BLOCKS) + 1))
Width = Annotated[int, Range("[4, 1024]")]


class InfoGCN(nn.Module):
    """InfoGCN: Representation Learning for Human Skeleton-based Action Recognition (Chi et al., CVPR 2022).

    Layers, names and order of weights match the authors' code, whose checkpoints load directly. Input
    (N, C, T, V, M) of any T, output logits (N, num_classes). The mean over persons includes absent ones. In
    training, the logits are those of a random latent vector around the mean, otherwise those of the mean.

    - ``width``: the channels of the first blocks, a multiple of 4; the last blocks have four times as many
    - ``heads``: the number of attention heads per block
    - ``k``: each joint is relative to the joint ``k`` links closer to the skeleton's centre: 1 gives bones, and a
      number above the longest path from the centre (8 for NTU) gives joints
    - ``noise_ratio``: the factor of the latent vector's log-variance in training

    Raises ``SettingError`` if k is 0, which would make every joint 0, or if ``width`` is not a multiple of 4.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        **dict.fromkeys(_NAMES, True),
        **dict.fromkeys(("pool", "fc_mu", "decoder"), False),
    }
    relative: Tensor

    @checked
    def __init__(
        self,
        skeleton: Skeleton = NTU25,
        num_classes: Count = 60,
        num_persons: Count = 2,
        channels: Count = 3,
        width: Width = 64,
        heads: Count = 3,
        k: Whole = 8,
        noise_ratio: NonNegative = 0.5,
    ) -> None:
        super().__init__()
        if k == 0:
            raise SettingError("k=0 makes every joint relative to itself, so always 0: use k=1 (bones) or k=8 (joints)")
        joints = skeleton.num_joints
        self.noise_ratio = noise_ratio
        self.register_buffer("relative", torch.eye(joints) - ancestors(skeleton, k), persistent=False)
        self.pos_embedding = nn.Parameter(torch.randn(1, joints, width))
        self.data_bn = nn.BatchNorm1d(num_persons * joints * width)
        self.to_joint_embedding = nn.Linear(channels, width)
        inputs = width
        for name, (factor, stride) in zip(_NAMES, BLOCKS, strict=True):
            outputs = factor * width
            self.add_module(name, _Block(inputs, outputs, stride, joints, heads))
            inputs = outputs
        self.pool = nn.Identity()  # names the mean over frames, joints and persons
        self.fc = nn.Linear(inputs, inputs)
        self.fc_mu = nn.Linear(inputs, inputs)
        self.fc_logvar = nn.Linear(inputs, inputs)
        self.decoder = nn.Linear(inputs, num_classes)
        for layer in (self.fc, self.fc_mu, self.fc_logvar):
            nn.init.xavier_uniform_(layer.weight, gain=nn.init.calculate_gain("relu"))
        initialise.classifier(self.decoder)

    def forward(self, x: Tensor) -> Tensor:
        y = by_person(self._embedded(x), self.data_bn)
        for name in _NAMES:
            y = self.get_submodule(name)(y)
        hidden = F.relu(self.fc(self.pool(over_persons(y, x.shape[-1]))))
        latent = self.fc_mu(hidden)
        if self.training:
            spread = (self.noise_ratio * self.fc_logvar(hidden)).exp().clamp(max=100)
            latent = latent + spread * torch.randn_like(spread)
        logits: Tensor = self.decoder(latent)
        return logits

    def _embedded(self, x: Tensor) -> Tensor:
        """(N, width, T, V, M): the relative joints of x (N, C, T, V, M) and an embedding of each joint's number."""
        joints = self.relative @ x.permute(0, 4, 2, 3, 1)  # (N, M, T, V, C)
        embedded: Tensor = self.to_joint_embedding(joints) + self.pos_embedding
        return embedded.permute(0, 4, 2, 3, 1)

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of these weights; raises ``KeyError`` for a missing one.

        Weights do not show ``k``: the network receives joints.
        """
        width, channels = weights["to_joint_embedding.weight"].shape
        joints = weights["pos_embedding"].shape[1]
        return cls(
            skeleton_with(joints, channels),
            num_classes=weights["decoder.weight"].shape[0],
            num_persons=weights["data_bn.weight"].shape[0] // (joints * width),
            channels=channels,
            width=width,
            heads=weights["l1.agcn.shared_topology"].shape[0],
        )


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, joints: int, heads: int) -> None:
        super().__init__()
        self.agcn = _AttentionGraph(inputs, outputs, joints, heads)
        self.tcn = MultiScale(outputs, outputs, kernel=5, stride=stride, dilations=(1, 2))
        self.residual = shortcut(inputs, outputs, stride)
        initialise.jittered(self.tcn)
        initialise.plain(self.residual)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(F.relu(self.tcn(self.agcn(x))) + self.residual(x))


class _AttentionGraph(nn.Module):
    """Graph convolution whose graph is, in every frame and head, an attention times a learned topology."""

    def __init__(self, inputs: int, outputs: int, joints: int, heads: int) -> None:
        super().__init__()
        self.shared_topology = nn.Parameter(torch.eye(joints).repeat(heads, 1, 1))
        self.conv_d = nn.ModuleList(nn.Conv2d(inputs, outputs, 1) for _ in range(heads))
        self.down = matched(inputs, outputs)
        self.bn = nn.BatchNorm2d(outputs)
        self.attn = _Attention(inputs, heads)
        initialise.plain(self.down)
        nn.init.constant_(self.bn.weight, 1e-6)
        for conv in self.conv_d:
            assert isinstance(conv, nn.Conv2d)
            initialise.branch(conv, heads)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V)
        features = x.permute(0, 2, 3, 1)  # (N, T, V, C)
        graph = self.attn(features) * self.shared_topology  # (N, T, H, V, V)
        # Joints are mixed first, and one matrix product then mixes the channels of all heads.
        mixed = (graph.flatten(2, 3) @ features).unflatten(2, (len(self.conv_d), -1))  # (N, T, H, V, C)
        weight = torch.cat([conv.get_parameter("weight").flatten(1) for conv in self.conv_d], dim=1)  # (outputs, H C)
        bias = torch.stack([conv.get_parameter("bias") for conv in self.conv_d]).sum(dim=0)
        total = F.linear(mixed.transpose(2, 3).flatten(3), weight, bias)  # (N, T, V, outputs)
        return F.relu(self.bn(total.permute(0, 3, 1, 2)) + self.down(x))


class _Attention(nn.Module):
    """x (N, T, V, C) -> (N, T, heads, V, V): in every frame, how much each joint attends to every other."""

    def __init__(self, inputs: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, max(inputs // 8, 1)
        self.to_qk = nn.Linear(inputs, 2 * heads * self.size)
        self.ln = nn.LayerNorm(inputs)
        nn.init.normal_(self.to_qk.weight)

    def forward(self, x: Tensor) -> Tensor:
        both = self.to_qk(self.ln(x)).unflatten(3, (2, self.heads, self.size))  # (N, T, V, 2, H, d)
        query, key = both.permute(3, 0, 1, 4, 2, 5)  # each (N, T, H, V, d)
        scores: Tensor = (query * self.size**-0.5) @ key.mT
        return scores.softmax(dim=-1)
