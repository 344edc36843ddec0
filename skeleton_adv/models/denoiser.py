"""A small temporal-convolutional network that estimates the noise of a clip."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked

DILATIONS = (1, 2, 4)  # of the residual blocks; with the first layer, an output sees 33 frames
TAPS = 17  # of the linear filter


class TemporalDenoiser(nn.Module):
    """A residual temporal convolution: clips with noise of ``sigma`` -> clips without it.

    Denoised Smoothing (Salman et al., arXiv 2003.01908) puts such a network before a recogniser; there, it is an image
    denoiser (DnCNN), here ours for skeletons. Input x (N, D, T, V, M), coordinates only, with ``mask`` (N, 1, T, V, M);
    the output has the same shape. Each person is a sequence of T frames. A joint is described by whether it exists, its
    position relative to the mean of the person's existing joints, and its displacements from the frames before and
    after, in multiples of ``sigma``; all are 0 where a joint does not exist, and before and after the clip. Beside the
    convolutions over all joints, which share ``width`` channels, one linear filter of the displacements serves every
    coordinate. Both estimates of the noise start at 0, so an untrained network changes nothing. Nothing depends on the
    other clips of a batch.
    """

    @checked
    def __init__(self, coords: Count, num_joints: Count, width: Count = 64) -> None:
        super().__init__()
        self.first = nn.Conv1d(num_joints * (3 * coords + 1), width, 5, padding=2)
        self.blocks = nn.ModuleList(_block(width, dilation) for dilation in DILATIONS)
        self.last = nn.Conv1d(width, num_joints * coords, 1)
        self.filter = nn.Conv1d(2, 1, TAPS, padding=TAPS // 2, bias=False)
        for weight in (*self.last.parameters(), *self.filter.parameters()):
            nn.init.zeros_(weight)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> "TemporalDenoiser":
        """The network with these weights, whose shapes determine its size."""
        outputs, inputs, width = len(weights["last.bias"]), weights["first.weight"].shape[1], len(weights["first.bias"])
        num_joints = inputs - 3 * outputs
        with torch.device("meta"):  # no random numbers are drawn
            network = cls(outputs // num_joints, num_joints, width)
        network.load_state_dict(weights, assign=True)
        return network

    def forward(self, x: Tensor, mask: Tensor, sigma: float) -> Tensor:
        n, d, t, v, m = x.shape
        persons, exists = (z.permute(0, 4, 1, 3, 2).flatten(0, 1) for z in (x, mask))  # (N M, D, V, T), (N M, 1, V, T)
        seen = _described(persons, exists, sigma)  # (N M, 3 D + 1, V, T)
        hidden = self.first(seen.flatten(1, 2))  # (N M, width, T)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        noise = self.last(hidden.relu()).view_as(persons) + self._filtered(seen[:, -2 * d :])
        denoised: Tensor = x - sigma * noise.view(n, m, d, v, t).permute(0, 2, 4, 3, 1)
        return denoised

    def _filtered(self, displacements: Tensor) -> Tensor:
        """(N, D, V, T): the linear filter of the displacements (N, 2 D, V, T) of each coordinate."""
        pairs = torch.stack(displacements.chunk(2, dim=1), dim=3)  # (N, D, V, 2, T)
        filtered: Tensor = self.filter(pairs.flatten(0, 2)).view(*pairs.shape[:3], -1)
        return filtered


def _block(width: int, dilation: int) -> nn.Sequential:
    layers = [nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for _ in range(2)]
    return nn.Sequential(nn.ReLU(), layers[0], nn.ReLU(), layers[1])


def _described(x: Tensor, exists: Tensor, sigma: float) -> Tensor:
    """(N, 3 D + 1, V, T): existence, positions, and displacements from the frames before and after."""
    there = exists.to(x.dtype)
    x = torch.where(exists, x, 0)
    centre = x.sum(dim=(2, 3), keepdim=True) / there.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    both = there[..., 1:] * there[..., :-1]
    steps = (x[..., 1:] - x[..., :-1]) * both / sigma
    ends = torch.zeros_like(x[..., :1])
    before, after = torch.cat([ends, steps], dim=-1), torch.cat([steps, ends], dim=-1)
    return torch.cat([there, (x - centre) * there, before, after], dim=1)
