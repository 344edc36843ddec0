"""STTFormer: spatio-temporal tuples transformer."""

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.ranges import Count, Range, checked
from skeleton_adv.core.skeleton import SKELETONS

Width = Annotated[int, Range("[4, 1024]")]
# Input and output channels of the eight blocks, as multiples of the width.
_BLOCKS = ((1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 4), (4, 4))
_SLOPE = 0.1  # of the leaky ReLUs
# Frequencies: the rounded value, and that of the published numbers, one unit in the last place larger.
_FREQUENCIES = (
    (float.fromhex("0x1.afd134p-2"), float.fromhex("0x1.afd136p-2")),
    (float.fromhex("0x1.fe9f58p-12"), float.fromhex("0x1.fe9f5ap-12")),
)


class STTFormer(nn.Module):
    """Spatio-Temporal Tuples Transformer (Qiu et al., arXiv 2201.02849).

    Layers, names and order of weights match the authors' code (heleiqiu/STTFormer), whose checkpoints load
    directly. Input (N, C, T, V, M), output logits (N, num_classes). ``tuples`` P is the number of
    consecutive frames whose joints attend to each other. The mean over persons includes absent ones. Bones are not
    used, but neighbouring joints share a convolution in their given order.

    Raises ``SettingError`` if T is not a multiple of P; ``fitted`` is the nearest larger one.
    """

    layers: ClassVar[Mapping[str, bool]] = {
        "input_map": True,
        **{f"blocks.{number}": True for number in range(len(_BLOCKS))},
        "pool": False,
        "fc": False,
    }

    @checked
    def __init__(
        self,
        num_joints: Count = 25,
        num_classes: Count = 60,
        channels: Count = 3,
        tuples: Count = 6,
        heads: Count = 3,
        width: Width = 64,
    ) -> None:
        super().__init__()
        self.tokens = num_joints * tuples
        self.input_map = nn.Sequential(*_conv(channels, width), nn.LeakyReLU(_SLOPE))
        sizes = ((inputs * width, outputs * width) for inputs, outputs in _BLOCKS)
        self.blocks = nn.ModuleList(_Block(inputs, outputs, self.tokens, heads) for inputs, outputs in sizes)
        self.pool = nn.Identity()  # names the mean over tokens, tuples and persons
        self.fc = nn.Linear(_BLOCKS[-1][1] * width, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
        nn.init.xavier_normal_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        tuples = self.tokens // v
        if v * tuples != self.tokens:
            raise SettingError(f"this STTFormer attends to {self.tokens} joints at once, not a multiple of {v}")
        if t % tuples:
            raise SettingError(
                f"this STTFormer takes clips whose number of frames is a multiple of {tuples}, not {t}: set "
                f"preprocess.length={fitted(t, tuples)} or preprocess.multiple={tuples}"
            )
        x = x.permute(0, 4, 1, 2, 3).reshape(n * m, c, t // tuples, tuples * v)
        x = self.input_map(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.fc(self.pool(x.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1)))
        return logits

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor]) -> Self:
        """An untrained network with the sizes of a checkpoint's weights, and its table of positions if it has one.

        Raises ``CheckpointError`` if no known skeleton fits.
        """
        _, heads, tokens, _ = weights["blocks.0.att0s"].shape
        width, channels = weights["input_map.0.weight"].shape[:2]
        known = {skeleton.num_joints for skeleton in SKELETONS.values()}
        tuples = next((tokens // joints for joints in known if tokens == 6 * joints), 0)
        tuples = tuples or next((tokens // joints for joints in sorted(known) if tokens % joints == 0), 0)
        if not tuples:
            raise CheckpointError(f"the weights are for {tokens} joints at once: known skeletons have {known}")
        model = cls(tokens // tuples, len(weights["fc.weight"]), channels, tuples, heads, width)
        model.take_constants(weights)
        return model

    def take_constants(self, weights: Mapping[str, Tensor]) -> None:
        """Take the table of positions from a checkpoint that contains it; its last bits may differ.

        Raises ``CheckpointError`` if it is not a table of finite numbers for this network.
        """
        for number, block in enumerate(self.blocks):
            key = f"blocks.{number}.pes.pe"
            if key not in weights:
                continue
            own, table = block.get_submodule("pes").get_buffer("pe"), weights[key]
            if table.dim() != 4 or table[:, :, :1].shape != own.shape or not table.isfinite().all():
                raise CheckpointError(
                    f"{key} is not a table of {tuple(own.shape)} finite numbers but {tuple(table.shape)}: use "
                    "weights of this network"
                )
            own.copy_(table[:, :, :1])


def fitted(num_frames: int, tuples: int = 6) -> int:
    """The smallest number of frames, at least ``num_frames``, that can be divided into tuples."""
    return -(-num_frames // tuples) * tuples


class _Block(nn.Module):
    """Attention among the joints of a tuple, and a convolution over tuples (paper, Secs. 3.2 and 3.3)."""

    def __init__(self, inputs: int, outputs: int, tokens: int, heads: int) -> None:
        super().__init__()
        inner = max(outputs // 4, 1)
        self.heads = heads
        self.alphas = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.att0s = nn.Parameter(torch.full((1, heads, tokens, tokens), 1 / tokens))
        self.pes = _Positions(inputs, tokens)
        self.to_qkvs = nn.Conv2d(inputs, 2 * heads * inner, 1)
        self.out_nets = _conv(heads * inputs, outputs, (1, 5))
        self.ff_net = _conv(outputs, outputs)
        self.out_nett = _conv(outputs, outputs, (3, 1))
        self.ress: nn.Module = _conv(inputs, outputs) if inputs != outputs else nn.Identity()
        self.rest: nn.Module = _conv(outputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:  # (N M, C, T / P, P V)
        residual = self.ress(x)
        y = F.leaky_relu(self.out_nets(self._attended(x)) + residual, _SLOPE)
        y = F.leaky_relu(self.ff_net(y) + residual, _SLOPE)
        return F.leaky_relu(self.out_nett(y) + self.rest(y), _SLOPE)

    def _attended(self, x: Tensor) -> Tensor:
        """(N M, heads C, T / P, P V): x, mixed over the joints of each tuple by each head."""
        n, c, t, u = x.shape
        queries, keys = self.to_qkvs(x + self.pes.pe).reshape(n, 2, self.heads, -1, u).unbind(1)  # (n, heads, d t, u)
        scores = torch.tanh(queries.transpose(2, 3) @ keys / queries.shape[2])
        attention = scores * self.alphas + self.att0s
        return (x.reshape(n, 1, c * t, u) @ attention).view(n, self.heads * c, t, u)


class _Positions(nn.Module):
    """(1, C, 1, U): sines and cosines of the number of each token, the same for all tuples.

    The authors compute this table in float32, whose last bits depend on the processor. Here it is rounded
    in the same way on every machine, but two frequencies are those of the published numbers: logits agree to 1e-8.
    """

    pe: Tensor

    def __init__(self, channels: int, tokens: int) -> None:
        super().__init__()
        frequency = torch.exp((torch.arange(0, channels, 2).float() * (-math.log(10000.0) / channels)).double()).float()
        for ours, theirs in _FREQUENCIES:
            frequency[frequency == ours] = theirs
        phase = (torch.arange(tokens).float() * frequency[:, None]).double()  # (C / 2, U)
        table = torch.stack([phase.sin(), phase.cos()], dim=1).flatten(0, 1)[:channels].float()
        self.register_buffer("pe", table[None, :, None], persistent=False)


def _conv(inputs: int, outputs: int, kernel: tuple[int, int] = (1, 1)) -> nn.Sequential:
    """A convolution over (tuples, tokens) that keeps their numbers, and a normalisation."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, padding=padding), nn.BatchNorm2d(outputs))
