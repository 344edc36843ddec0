"""Clips moved into another space before any other step."""

import numpy as np
import torch

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import Prepared, RawClip
from skeleton_adv.models.preprocess import PreNormalize


class Normalised:
    """Prepared clips after 2s-AGCN's pre-normalisation, which victims then skip.

    Still in metres, but the person who moves most comes first, and every frame is centred and rotated:
    the space that the file names in Zheng et al.'s code suggest for their experiments. As in
    2s-AGCN's pipeline, a person who is absent from the first frame loses every empty frame. A joint
    that does not exist stays at 0. Raises ``SettingError`` for joints in an image.
    """

    def __init__(self, prepared: Prepared, skeleton: Skeleton) -> None:
        if len(skeleton.coords) < 3:
            raise SettingError("dataset.space=normalised requires joints in 3-D: use dataset.space=camera")
        self.clips, self.digest, self.skipped = prepared.clips, prepared.digest, prepared.skipped
        self._prepared, self._normalise = prepared, PreNormalize(skeleton)

    def raw(self, index: int) -> RawClip:
        raw = self._prepared.raw(index)
        x = torch.from_numpy(raw.frames.astype(np.float64)).permute(1, 0, 2, 3)[None]
        order = self._normalise.order(x)[0].numpy()
        frames, exists = raw.frames[..., order].astype(np.float64), raw.exists[..., order].copy()
        for person in range(len(order)):
            there = np.any(exists[..., person], axis=1, keepdims=False)
            if there.any() and not there[0]:
                for array in (frames, exists):
                    kept = array[there, ..., person]
                    array[..., person] = 0
                    array[: len(kept), ..., person] = kept
        turned = self._normalise.turn(torch.from_numpy(frames).permute(1, 0, 2, 3)[None])
        moved = turned[0].permute(1, 0, 2, 3).float().numpy()
        return RawClip(np.where(exists[:, None], moved, np.float32(0)), exists)
