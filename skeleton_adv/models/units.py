"""From the attack space to the units that a network was trained on."""

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import Skeleton

METRES = {"m": 1.0, "cm": 100.0, "mm": 1000.0}  # units in a metre
IMAGE = ("image", "px")


class Channels(nn.Module):
    """Clips (N, C, T, V, M) with or without a detector's score, as another skeleton of the same joints has them.

    A missing score is 1 where a joint exists; a score that the network does not take is left out.
    """

    def __init__(self, skeleton: Skeleton, wanted: Skeleton) -> None:
        super().__init__()
        self.coords, self.wanted, self.channels = list(skeleton.coords), list(wanted.coords), wanted.channels
        self.unchanged = skeleton.channels == wanted.channels

    def forward(self, x: Tensor) -> Tensor:
        if self.unchanged:
            return x
        exists = (x != 0).any(dim=1, keepdim=True).to(x.dtype)
        channels = list(exists.expand(-1, self.channels, -1, -1, -1).unbind(1))
        for ours, theirs in zip(self.coords, self.wanted, strict=True):
            channels[theirs] = x[:, ours]
        return torch.stack(channels, dim=1)


class Rescaled(nn.Module):
    """Clips (N, C, T, V, M) of the attack space in another unit; absent joints, which are 0, stay 0.

    ``m``, ``cm``, ``mm`` for joints in space. For joints in an image, ``image`` is the attack space itself (x and y as
    fractions of the image from its middle, y up), and ``px`` are pixels from the upper left corner of an image of
    ``image_size`` (width, height).
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, skeleton: Skeleton, unit: str, image_size: tuple[float, float] | None = None) -> None:
        super().__init__()
        flat = len(skeleton.coords) < 3
        units = IMAGE if flat else (*METRES,)
        if unit not in units:
            where = "in an image" if flat else "in space"
            raise SettingError(
                f"unit={unit} does not fit {skeleton.name}, whose joints are {where}: {nearest(unit, [*units])}"
            )
        if (unit == "px") != (image_size is not None):
            raise SettingError(
                f"unit={unit} with image_size={image_size}: give image_size=(width, height) exactly for px"
            )
        scale, offset = torch.ones(skeleton.channels), torch.zeros(skeleton.channels)
        for axis, channel in enumerate(skeleton.coords):
            if image_size is not None:
                scale[channel] = image_size[axis] * (1, -1)[axis]
                offset[channel] = image_size[axis] / 2
            elif not flat:
                scale[channel] = METRES[unit]
        self.unchanged = bool((scale == 1).all() and (offset == 0).all())
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.unchanged:
            return x
        exists = (x != 0).any(dim=1, keepdim=True)
        scale, offset = (values.to(x.dtype).view(1, -1, 1, 1, 1) for values in (self.scale, self.offset))
        return torch.where(exists, x * scale + offset, 0)
