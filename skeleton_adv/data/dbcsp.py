"""The clips of the R package dbcsp: people who gesture to a robot, as OpenPose found them in images."""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Count, Range
from skeleton_adv.core.skeleton import BODY25
from skeleton_adv.data.arrays import to_raw
from skeleton_adv.data.dataset import Clip, Dataset, RawClip
from skeleton_adv.data.npz import npz_arrays

FILE = "dbcsp_ar.npz"
CLASSES = ("come", "five", "handshake", "hello", "ignore", "look_at")
FRAMES, FOLDS = 92, 5
MOST_CLIPS = 10_000  # the file has 272
# The file does not state the size of the image. Joints are 3.1 to 316.8 pixels from its left border and 3.1 to 487.6
# from its upper border: equally far from both borders of an image of this size.
IMAGE_SIZE = (320.0, 491.0)


@dataclass(frozen=True)
class DBCSP(Dataset):
    """Clips of dbcsp (Rodriguez-Moreno, Irigoien, Sierra, Arenas; R package): 6 actions, BODY_25, no subjects.

    ``root`` contains ``dbcsp_ar.npz``: ``data`` (272, 92, 25, 2), x and y in pixels, y down; ``label`` (272,); and
    ``class_names`` (6,). The image space is that of all image data: fractions of the image from its middle, y up. The
    size of the image is not stated, so ``IMAGE_SIZE`` is inferred from the joints. OpenPose's scores are not given,
    so every joint exists. The frame rate is not stated either; 30 Hz is assumed.

    - ``fold``: the fifth of the clips, 0 to 4, for testing; the other four are for training.

    The file does not name the subjects, so the split is by clip, and a person may be in both parts. A fold is a
    fifth of each action's clips in the order of the file. Neighbours in that order have more similar bodies than other
    clips of the action, so consecutive clips stay together. Raises ``DataError`` naming the file and the clip.
    """

    root: str
    fold: Annotated[int, Range("[0, 4]")] = 0
    num_actions: Annotated[int, Range("[2, 6]")] = 6
    _: KW_ONLY
    num_frames: Count = 64
    num_persons: Annotated[int, Range("[1, 4]")] = 1

    skeleton = BODY25.without_score()
    all_classes = CLASSES
    unit = "image"
    image_size = IMAGE_SIZE

    @property
    def name(self) -> str:
        return f"dbcsp_ar_fold{self.fold}" if self.fold else "dbcsp_ar"

    def clips(self) -> tuple[Clip, ...]:
        labels = self._content[1]
        return tuple(
            Clip(f"clip{number:03}", int(label), "test" if fold == self.fold else "train")
            for number, (label, fold) in enumerate(zip(labels, folds(labels), strict=True))
            if label < self.num_actions
        )

    def path(self, clip: Clip) -> Path:
        return Path(self.root).expanduser() / FILE

    def read(self, clip: Clip) -> RawClip:
        number = int(clip.name.removeprefix("clip"))
        values, where = self._content[0][number], f"{self.path(clip)}: data[{number}]"
        wrong = ~np.isfinite(values).all(axis=(1, 2))
        if wrong.any():
            raise DataError(f"{where}: frame {int(wrong.argmax()) + 1} contains a value that is not finite")
        mask, persons = np.ones(values.shape[:2], dtype=bool), self.num_persons
        return to_raw(
            values, self.skeleton, unit="px", image_size=IMAGE_SIZE, mask=mask, num_persons=persons, where=where
        )

    @cached_property
    def _content(self) -> tuple[np.ndarray, np.ndarray]:
        """``data`` (N, 92, 25, 2) and ``label`` (N,), checked."""
        path = Path(self.root).expanduser() / FILE
        if not path.is_file():
            raise DataError(
                f"dataset.root={self.root} contains no {FILE}: put it there, or set dataset.root=... to its folder"
            )
        arrays = npz_arrays(path, ("data", "label", "class_names"))
        data, labels, names = arrays["data"], arrays["label"], arrays["class_names"]
        if data.dtype.kind != "f" or data.shape[1:] != (FRAMES, BODY25.num_joints, 2) or len(data) > MOST_CLIPS:
            raise DataError(
                f"{path}: data is {data.dtype} {data.shape}, not real numbers (clips, {FRAMES}, {BODY25.num_joints}, 2)"
            )
        if labels.dtype.kind not in "iu" or labels.shape != data.shape[:1]:
            raise DataError(f"{path}: label is {labels.dtype} {labels.shape}, not one whole number per clip")
        wrong = (labels < 0) | (labels >= len(CLASSES))
        if wrong.any():
            number = int(wrong.argmax())
            raise DataError(f"{path}: label[{number}] is {labels[number]}, not 0 to {len(CLASSES) - 1}")
        if names.dtype.kind != "U" or tuple(names.ravel().tolist()) != CLASSES:
            raise DataError(f"{path}: class_names are not {', '.join(CLASSES)}, in this order")
        return data, labels


def folds(labels: np.ndarray) -> np.ndarray:
    """(N,) The fold of each clip: each class is cut in its order into five parts whose sizes differ by at most 1."""
    found = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        numbers = (labels == label).nonzero()[0]
        found[numbers] = np.arange(len(numbers)) * FOLDS // len(numbers)
    return found
