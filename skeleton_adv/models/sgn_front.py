"""SGN's preprocessing: clips become sequences of single skeletons, of which a fixed number is sampled."""

from typing import Literal

import torch
from torch import Tensor, nn

from skeleton_adv.core.ranges import Count, checked
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.models.preprocess import translated


class Sequence(nn.Module):
    """Camera-space clips (N, C, T, V, M) -> (N, C, length, V, samples), one skeleton per frame.

    As in SGN's code (microsoft/SGN, ``data.py``): clips are translated as in ``preprocess.translated`` (not those in
    image coordinates); the persons of a frame become successive frames; absent persons and empty frames are dropped;
    sequences shorter than ``length`` are followed by zeros, and longer ones are divided into ``length`` segments,
    each of which gives one frame. Only the order of persons and the choice of frames are not differentiable.

    - ``sampling``: ``released`` uses segments of floor(L / length) of the L frames and drops the rest, as in the
      authors' code; ``whole`` uses segments of L / length frames, which cover the clip
    - ``samples``: the number of samplings; 1 takes the middle of each segment, and more take random frames, the same
      ones for clips of the same length. The authors average the logits of five such samplings, which ``SGN`` does too

    In training, all frames are random. The choice differs from the authors' only in its reproducible random numbers.
    """

    offsets: Tensor

    @checked
    def __init__(
        self,
        skeleton: Skeleton,
        length: Count = 20,
        sampling: Literal["released", "whole"] = "released",
        samples: Count = 1,
    ) -> None:
        super().__init__()
        self.center = skeleton.center if len(skeleton.coords) == 3 else None
        self.sampling = sampling
        offsets = torch.full((1, length), 0.5)
        if samples > 1:
            offsets = torch.rand((samples, length), generator=torch.Generator().manual_seed(0))
        self.register_buffer("offsets", offsets, persistent=False)  # within a segment, in [0, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, T, V, M)
        n, c, t, v, m = x.shape
        if self.center is not None:
            x = translated(x, self.center)
        order, count = skeletons(x)
        chosen, exists = self._chosen(count)  # (N, S, length)
        source = torch.where(exists, order.gather(1, chosen.flatten(1)).view_as(chosen), -1).view(n, -1, 1)
        # A matrix product, because frames that are gathered twice have no deterministic gradient on a GPU.
        pick = (source == torch.arange(t * m, device=x.device)).to(x.dtype)  # (N, S length, T M)
        frames = x.permute(0, 1, 3, 2, 4).reshape(n, c * v, t * m) @ pick.transpose(1, 2)
        return frames.view(n, c, v, *self.offsets.shape).permute(0, 1, 4, 2, 3)

    def _chosen(self, count: Tensor) -> tuple[Tensor, Tensor]:
        """The chosen frames (N, S, length) of sequences with ``count`` (N,) frames, and which of them exist."""
        offsets = self.offsets.double().expand(len(count), -1, -1)
        if self.training:
            offsets = torch.rand_like(offsets)
        length = offsets.shape[2]
        segment, frames = torch.arange(length, device=count.device), count.view(-1, 1, 1)
        if self.sampling == "released":
            size = frames // length
            chosen = segment * size + (offsets * size).long()
        else:
            chosen = ((segment + offsets) * frames / length).long()
        chosen = torch.where(frames < length, segment, chosen)
        exists = chosen < frames
        return torch.where(exists, chosen, 0), exists


def skeletons(x: Tensor) -> tuple[Tensor, Tensor]:
    """The order (N, T M) of persons in frames as SGN reads x (N, C, T, V, M), and how many (N,) of them are present.

    Entries of the order are ``frame * M + person``; absent persons come last.
    """
    present = (x.detach() != 0).any(dim=3).any(dim=1).flatten(1)
    return (~present).to(torch.uint8).argsort(dim=1, stable=True), present.sum(dim=1)
