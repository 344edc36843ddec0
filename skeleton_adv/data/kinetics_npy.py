"""Kinetics-skeleton in the arrays of ST-GCN and 2s-AGCN: ``train_data.npy``, ``train_label.pkl``, and for ``val``."""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.data.dataset import Clip, Dataset, RawClip, Space, Split
from skeleton_adv.data.label_arrays import Half, array_files, entries, read_halves
from skeleton_adv.data.prepared import checked, class_names, last_frame

ARRAY = "data.npy"
SHAPE = (3, 300, 18, 2)  # x, y and score; T, V, M


@dataclass(frozen=True)
class KineticsNpy(Dataset):
    """Kinetics-skeleton as ST-GCN (yysijie/st-gcn, arXiv 1801.07455) and 2s-AGCN write it: two persons, 18 joints.

    ``root`` is the folder. The clips are those of ``data.kinetics`` with the two bodies of each frame that have
    the highest scores: x and y as fractions of the image from its middle, y up, and the score. Joints with score 0 do
    not exist. Names are those of the videos. Empty frames at the end are lost. ``class_names`` is a file with the
    names of the classes, one per line. Raises ``DataError`` naming the file and the entry.
    """

    classes_in_files = True

    root: str
    num_actions: Annotated[int, Range("[2, 400]")] = 400
    class_names: str | None = None
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 2]")] = 2

    name = "kinetics_npy"
    skeleton = OPENPOSE18
    unit = "image"
    stands_for = "Kinetics"
    spaces: ClassVar[tuple[Space, ...]] = ("camera",)

    @property
    def all_classes(self) -> tuple[str, ...]:
        return class_names(self.class_names, self.num_actions)

    def sources(self) -> tuple[Path, ...]:
        return array_files(self.root, ARRAY)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for clip, _ in entries(self._halves, self.num_actions))

    def read(self, clip: Clip) -> RawClip:
        frames, where = self._halves[clip.split].frames(clip.name)
        frames = checked(frames, "image", where)
        exists: np.ndarray = frames[:, 2] > 0
        length = last_frame(exists, where)
        frames = np.where(exists[:, None], frames, np.float32(0))[:length, ..., : self.num_persons]
        return RawClip(np.ascontiguousarray(frames), exists[:length, ..., : self.num_persons]).padded(self.num_persons)

    @cached_property
    def _halves(self) -> dict[Split, Half]:
        return read_halves(self.root, ARRAY, SHAPE, 400)
