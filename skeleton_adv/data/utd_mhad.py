"""UTD-MHAD: the official skeleton files of 27 actions by 8 subjects."""

import re
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Count, Range
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, RawClip, Take, outside
from skeleton_adv.data.files import named_files
from skeleton_adv.data.matlab import read_array

CLASSES = (
    *("swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x"),
    *("draw_circle_clockwise", "draw_circle_counter_clockwise", "draw_triangle", "bowling", "boxing"),
    *("baseball_swing", "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch"),
    *("pickup_and_throw", "jog", "walk", "sit_to_stand", "stand_to_sit", "lunge", "squat"),
)
FILE_NAME = re.compile(r"a(0*(?:[1-9]|1\d|2[0-7]))_s(\d+)_t(\d+)_skeleton\.mat")
TRAINING_TRIALS = 2  # of four, if the classes are subjects
MOST_FRAMES = 10_000  # the longest clip has 125


@dataclass(frozen=True)
class UTDMHAD(Dataset):
    """UTD-MHAD (Chen, Jafari, Kehtarnavaz, ICIP 2015): 861 clips, 20 Kinect joints, one person.

    ``root`` contains the official files ``a*_s*_t*_skeleton.mat``. The split is by subject: odd subjects train,
    even subjects test; with ``label=subject``, trials 1 and 2 train. Raises ``DataError`` if a file has an unexpected
    name.
    """

    root: str
    num_actions: Annotated[int, Range("[2, 27]")] = 27
    _: KW_ONLY
    num_frames: Count = 32
    num_persons: Annotated[int, Range("[1, 4]")] = 1

    name = "utd_mhad"
    skeleton = KINECT20
    all_classes = CLASSES
    stands_for = "NTU RGB+D, cross-subject"
    stand_in = True

    def clips(self) -> tuple[Clip, ...]:
        return tuple(
            Clip(path.name.removesuffix("_skeleton.mat"), action - 1, "train" if subject % 2 else "test")
            for path, (action, subject, _) in named_files(self.root, FILE_NAME, "a1_s1_t1_skeleton.mat")
            if action <= self.num_actions
        )

    def take(self, clip: Clip) -> Take:
        """The first two of a subject's four trials are for training."""
        _, subject, trial = clip.name.split("_")
        return Take(subject, "train" if int(trial[1:]) <= TRAINING_TRIALS else "test")

    def path(self, clip: Clip) -> Path:
        return Path(self.root).expanduser() / f"{clip.name}_skeleton.mat"

    def read(self, clip: Clip) -> RawClip:
        frames = read_mat_file(self.path(clip)).transpose(2, 1, 0)[..., None].astype(np.float32)  # (F, C, V, 1)
        # The files contain no empty joints; a joint exactly at the camera was never tracked.
        return RawClip(frames, (frames != 0).any(axis=1)).padded(self.num_persons)


def read_mat_file(path: Path) -> np.ndarray:
    """The array ``d_skel`` (20, 3, F) in one file, in metres."""
    array = read_array(path, "d_skel")
    if array.ndim != 3 or array.shape[:2] != (20, 3) or not 2 <= array.shape[2] <= MOST_FRAMES:
        raise DataError(f"{path}: 'd_skel' must contain 20 x 3 x frames numbers, but is {array.dtype} {array.shape}")
    wrong = outside(array, "m").any(axis=(0, 1))
    if wrong.any():
        frame = int(wrong.argmax()) + 1
        raise DataError(
            f"{path}: frame {frame} of 'd_skel' contains a value that is not finite or exceeds {LARGEST['m']:g} m"
        )
    return array
