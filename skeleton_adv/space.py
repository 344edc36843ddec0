"""Clips moved into another space before anything else sees them."""

import numpy as np
import torch

from skeleton_adv.data.clips import Prepared, RawClip
from skeleton_adv.errors import SettingError
from skeleton_adv.models.preprocess import PreNormalize
from skeleton_adv.skeleton import Skeleton


class Normalised:
    """Prepared clips after 2s-AGCN's pre-normalisation, which is then no longer a victim's own business.

    Metres still, but centred in every frame and turned: the space that the file names in Zheng et
    al.'s code suggest for their experiments. A joint that does not exist stays at 0. Raises
    ``SettingError`` for joints in an image.
    """

    def __init__(self, prepared: Prepared, skeleton: Skeleton) -> None:
        if len(skeleton.coords) < 3:
            raise SettingError("dataset.space=normalised is for joints in space: an image cannot be turned")
        self.clips, self.digest = prepared.clips, prepared.digest
        self._prepared, self._normalise = prepared, PreNormalize(skeleton)

    def raw(self, index: int) -> RawClip:
        raw = self._prepared.raw(index)
        x = torch.from_numpy(raw.frames.astype(np.float64)).permute(1, 0, 2, 3)[None]
        order = self._normalise.order(x)[0].numpy()
        moved = self._normalise(x)[0].permute(1, 0, 2, 3).float().numpy()
        exists = raw.exists[..., order]
        moved = np.where(exists[:, None], moved, 0)
        return RawClip(np.ascontiguousarray(moved), exists)
