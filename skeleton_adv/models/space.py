"""The normalised space: prepared clips after 2s-AGCN's pre-normalisation."""

import numpy as np
import torch

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import Prepared, RawClip
from skeleton_adv.models.preprocess import PreNormalize


class Normalised:
    """Prepared clips after 2s-AGCN's pre-normalisation, which victims then skip.

    The clips are still in metres, but the person who moves most comes first, and every frame is centred and rotated.
    The file names in Zheng et al.'s code suggest this space for their experiments. As in
    2s-AGCN's pipeline, all empty frames are removed for a person who is absent from the first frame. A joint
    that does not exist stays at 0. Raises ``SettingError`` for joints in an image.
    """

    def __init__(self, prepared: Prepared, skeleton: Skeleton) -> None:
        if len(skeleton.coords) < 3:
            raise SettingError("dataset.space=normalised requires 3-D joints: use dataset.space=camera")
        self.clips, self.digest, self.skipped = prepared.clips, prepared.digest, prepared.skipped
        self._prepared, self._normalise = prepared, PreNormalize(skeleton)

    def raw(self, index: int) -> RawClip:
        raw = self._prepared.raw(index)
        x = torch.from_numpy(raw.frames.astype(np.float64)).permute(1, 0, 2, 3)[None]
        order = self._normalise.order(x)[0].numpy()
        frames, exists = raw.frames[..., order].astype(np.float64), raw.exists[..., order].copy()
        for person in range(len(order)):
            present = np.any(exists[..., person], axis=1, keepdims=False)
            if present.any() and not present[0]:
                for array in (frames, exists):
                    packed = array[present, ..., person]
                    array[..., person] = 0
                    array[: len(packed), ..., person] = packed
        rotated = self._normalise.rotated(torch.from_numpy(frames).permute(1, 0, 2, 3)[None])
        normalised = rotated[0].permute(1, 0, 2, 3).float().numpy()
        return RawClip(np.where(exists[:, None], normalised, np.float32(0)), exists)
