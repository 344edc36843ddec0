"""NTU RGB+D in the arrays of 2s-AGCN: ``train_data_joint.npy``, ``train_label.pkl``, and both for ``val``."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from skeleton_adv.data.dataset import Clip, RawClip, Space, Split
from skeleton_adv.data.label_arrays import Half, array_files, entries, read_halves
from skeleton_adv.data.prepared import PreparedNTU, checked, kept_bodies, last_frame

ARRAY = "data_joint.npy"
SHAPE = (3, 300, 25, 2)  # C, T, V, M
SAME = 1e-5  # metres: the difference between a frame and its repetition, after float32 rotations


@dataclass(frozen=True)
class NTUAGCN(PreparedNTU):
    """The arrays that 2s-AGCN (lshiwjx/2s-AGCN, arXiv 1805.07694) makes, which MS-G3D and Shift-GCN use too.

    ``root`` is the folder of one protocol. Every frame is centred on the first person's spine, and every clip is
    rotated by its first frame; neither is stored, so the only space is ``normalised``. Lengths of bones are kept.
    The frames of a person are repeated to 300; their number is the period of the repetition. A person is absent
    after their last frame. Names are official. Raises ``DataError`` naming the file and the entry.
    """

    form = "agcn"
    spaces: ClassVar[tuple[Space, ...]] = ("normalised",)

    def sources(self) -> tuple[Path, ...]:
        return array_files(self.root, ARRAY)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(self.official(clip, where) for clip, where in entries(self._halves, self.num_actions))

    def read(self, clip: Clip) -> RawClip:
        frames, where = self._halves[clip.split].frames(clip.name)
        return once(checked(frames, "m", where), self.num_persons, where)

    @cached_property
    def _halves(self) -> dict[Split, Half]:
        return read_halves(self.root, ARRAY, SHAPE, len(self.all_classes))


def once(frames: np.ndarray, num_persons: int, where: str) -> RawClip:
    """The clip of repeated frames (T, 3, V, M), each person's frames once.

    The second person is centred on the first, whose period may differ; so periods are found in each person's own shape.
    Raises ``DataError`` naming ``where`` if there are fewer than two frames.
    """
    present = (frames != 0).any(axis=(1, 2))  # (T, M)
    for person in range(frames.shape[-1]):
        shape = frames[..., person] - frames[:, :, 1:2, person]
        present[period(shape.reshape(len(shape), -1)) :, person] = False
    length = last_frame(present, where)
    return kept_bodies(np.where(present[:, None, None], frames, np.float32(0)), present, length, num_persons)


def period(values: np.ndarray) -> int:
    """The smallest number of rows, two or more, whose repetition gives all rows (T, D); T if they do not repeat."""
    starts = np.flatnonzero((np.abs(values - values[0]) <= SAME).all(axis=1))
    for start in map(int, starts[starts >= 2]):
        if (np.abs(values[start:] - values[:-start]) <= SAME).all():
            return start
    return len(values)
