"""UTD-MHAD: the official skeleton files of 27 actions by 8 subjects."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Count, Fraction, Range, check_call
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import Clip, OnError, RawClip, Space, Split, file_facts

CLASSES = (
    *("swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x"),
    *("draw_circle_clockwise", "draw_circle_counter_clockwise", "draw_triangle", "bowling", "boxing"),
    *("baseball_swing", "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch"),
    *("pickup_and_throw", "jog", "walk", "sit_to_stand", "stand_to_sit", "lunge", "squat"),
)
FILE_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton\.mat")


@dataclass(frozen=True)
class UTDMHAD:
    """UTD-MHAD (Chen, Jafari, Kehtarnavaz, ICIP 2015): 861 clips, 20 Kinect joints, one person.

    ``root`` holds the official files ``a*_s*_t*_skeleton.mat``. Cross-subject: odd subjects train,
    even ones test. Raises ``DataError`` if a file cannot be what its name says.
    """

    root: str
    num_actions: Annotated[int, Range("[2, 27]")] = 27
    num_frames: Count = 32
    num_persons: Count = 1
    test_crop: Fraction = 0.95
    space: Space = "camera"
    on_error: OnError = "stop"

    name = "utd_mhad"
    skeleton = KINECT20
    fps = 30.0
    stand_in = True
    generated = False

    def __post_init__(self) -> None:
        check_call(UTDMHAD, vars(self), "dataset.")

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASSES[: self.num_actions]

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise DataError(
                f"dataset.root={self.root} is not a folder: put UTD-MHAD's skeleton files "
                "(a1_s1_t1_skeleton.mat, ...) there, or name their folder with dataset.root=..."
            )
        files = tuple(sorted(path for path in root.iterdir() if path.suffix == ".mat"))
        if not files:
            raise DataError(f"dataset.root={self.root} holds no .mat file: it should hold a1_s1_t1_skeleton.mat, ...")
        return files

    def clips(self) -> tuple[Clip, ...]:
        clips = []
        for path in self._files:
            match = FILE_NAME.fullmatch(path.name)
            if not match or not 1 <= int(match[1]) <= len(CLASSES):
                raise DataError(
                    f"{path}: the name is not of the form a<1-{len(CLASSES)}>_s<subject>_t<trial>_skeleton.mat; "
                    "rename the file or take it out of the folder"
                )
            split: Split = "train" if int(match[2]) % 2 else "test"
            if int(match[1]) <= self.num_actions:
                clips.append(Clip(path.name.removesuffix("_skeleton.mat"), int(match[1]) - 1, split))
        return tuple(clips)

    def read(self, clip: Clip) -> RawClip:
        path = Path(self.root).expanduser() / f"{clip.name}_skeleton.mat"
        array = _load(path)
        frames = array.transpose(2, 1, 0)[..., None].astype(np.float32)  # (F, C, V, 1)
        absent = np.zeros_like(frames, shape=(*frames.shape[:3], self.num_persons - 1))
        frames = np.concatenate([frames, absent], axis=-1)
        # The files hold no empty joint; one that lies exactly at the camera was never tracked.
        return RawClip(frames, (frames != 0).any(axis=1))

    def fingerprint(self) -> str:
        """Digest of what the preparation reads: every file's name, size and time of change."""
        facts = [file_facts(path) for path in self._files]
        return hashlib.sha256(repr((self.name, self.num_actions, self.num_persons, facts)).encode()).hexdigest()


def _load(path: Path) -> np.ndarray:
    """The array ``d_skel`` (20, 3, F) of one file."""
    from scipy.io import loadmat

    try:
        content = loadmat(path)
    except Exception as error:  # scipy raises a dozen kinds for a damaged file
        raise DataError(f"{path}: not a readable MATLAB file ({type(error).__name__}: {error})") from error
    array = content.get("d_skel")
    if array is None:
        raise DataError(f"{path}: holds no variable 'd_skel'")
    if array.ndim != 3 or array.shape[:2] != (20, 3) or array.shape[2] < 2 or array.dtype.kind != "f":
        raise DataError(f"{path}: 'd_skel' should be 20 x 3 x frames numbers, it is {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        frame = int(np.argwhere(~np.isfinite(array))[0][2])
        raise DataError(f"{path}: 'd_skel' holds a value that is not finite in frame {frame + 1}")
    return np.asarray(array)
