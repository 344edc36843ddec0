"""Input filtering: the median of each coordinate over neighbouring frames."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, checked


class TemporalMedian(nn.Module):
    """Each coordinate becomes its median over ``window`` frames, centred on its own.

    Input filtering: lecture "Adversarial Machine Learning" (Chatzikyriakidis, Mygdalis and Pitas); the median as in
    feature squeezing (Xu et al., arXiv 1704.01155), here over time. The frames at both ends are repeated. A frame that
    does not exist is left out; of an even number of frames, the median is the mean of the two in the middle. The
    gradient is exact: it reaches the frames whose coordinates are the median. Raises ``SettingError`` if ``window`` is
    even.
    """

    OFF: ClassVar[Mapping[str, Any]] = {"window": 1}  # with these settings, the defense changes nothing

    @checked
    def __init__(self, network: nn.Module, *, window: Count = 5) -> None:
        super().__init__()
        if window % 2 == 0:
            raise SettingError(f"defense.window={window} has no frame in its middle: choose {window + 1}")
        self.network, self.window = network, window

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        seen, exists = (neighbours(z, self.window) for z in (x, context.mask))
        logits: Tensor = self.network(torch.where(context.movable, median(seen, exists), x), context)
        return logits


def neighbours(x: Tensor, window: int) -> Tensor:
    """(W, N, C, T, V, M): the frames around each frame of x (N, C, T, V, M); the frames at both ends are repeated."""
    half, frames = window // 2, x.shape[2]
    # Slices, because gathering frames has no deterministic gradient on a GPU.
    padded = torch.cat([*[x[:, :, :1]] * half, x, *[x[:, :, -1:]] * half], dim=2)
    return torch.stack([padded[:, :, start : start + frames] for start in range(window)])


def median(values: Tensor, exists: Tensor) -> Tensor:
    """The median over the first dimension of ``values`` (W, ...) where they exist; 0 if none does.

    ``exists`` is bool and broadcasts over ``values``. Of an even number, it is the mean of the two in the middle.
    """
    count = exists.sum(dim=0)
    ranked = torch.where(exists, values, torch.inf).sort(dim=0).values
    place = torch.arange(len(values), device=values.device).view(-1, *[1] * (values.dim() - 1))
    # Weights instead of a gather, whose gradient is not deterministic on a GPU.
    weight = ((place == (count - 1) // 2).to(values.dtype) + (place == count // 2).to(values.dtype)) / 2
    return (torch.where(place < count, ranked, 0) * weight).sum(dim=0)
