"""UTD-MHAD: the official skeleton files of 27 actions by 8 subjects."""

import re
import struct
import zlib
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Count, Range
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import LARGEST, Clip, Dataset, RawClip, outside
from skeleton_adv.data.files import named_files

CLASSES = (
    *("swipe_left", "swipe_right", "wave", "clap", "throw", "arm_cross", "basketball_shoot", "draw_x"),
    *("draw_circle_clockwise", "draw_circle_counter_clockwise", "draw_triangle", "bowling", "boxing"),
    *("baseball_swing", "tennis_swing", "arm_curl", "tennis_serve", "push", "knock", "catch"),
    *("pickup_and_throw", "jog", "walk", "sit_to_stand", "stand_to_sit", "lunge", "squat"),
)
FILE_NAME = re.compile(r"a(0*(?:[1-9]|1\d|2[0-7]))_s(\d+)_t(\d+)_skeleton\.mat")
MOST_FRAMES = 10_000  # the longest clip has 125
MOST_BYTES = 16 << 20  # of a file, and of each of its variables
_REAL = ("double", "single")  # a variable's kind
_COMPRESSED = 15  # kind of an element of a MATLAB 5 file


@dataclass(frozen=True)
class UTDMHAD(Dataset):
    """UTD-MHAD (Chen, Jafari, Kehtarnavaz, ICIP 2015): 861 clips, 20 Kinect joints, one person.

    ``root`` holds the official files ``a*_s*_t*_skeleton.mat``. Cross-subject: odd subjects train,
    even ones test. Raises ``DataError`` if a file cannot be what its name says.
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

    def path(self, clip: Clip) -> Path:
        return Path(self.root).expanduser() / f"{clip.name}_skeleton.mat"

    def read(self, clip: Clip) -> RawClip:
        array = read_mat_file(self.path(clip))
        frames = array.transpose(2, 1, 0)[..., None].astype(np.float32)  # (F, C, V, 1)
        absent = np.zeros_like(frames, shape=(*frames.shape[:3], self.num_persons - 1))
        frames = np.concatenate([frames, absent], axis=-1)
        # The files hold no empty joint; one that lies exactly at the camera was never tracked.
        return RawClip(frames, (frames != 0).any(axis=1))


def read_mat_file(path: Path) -> np.ndarray:
    """The array ``d_skel`` (20, 3, F) of one file, metres; raises ``DataError`` before it loads anything large."""
    from scipy.io import loadmat, whosmat

    wanted = "'d_skel' should be 20 x 3 x frames real numbers"
    try:
        _check_size(path)
        found = [(shape, kind) for name, shape, kind in whosmat(path) if name == "d_skel"]
        if len(found) != 1:
            raise DataError(f"{path}: {wanted}, but the file holds {len(found) or 'no'} variables of this name")
        shape, kind = found[0]
        if shape[:2] != (20, 3) or len(shape) != 3 or not 2 <= shape[2] <= MOST_FRAMES or kind not in _REAL:
            raise DataError(f"{path}: {wanted}, it is {kind} {shape}")
        array = np.asarray(loadmat(path, variable_names=["d_skel"])["d_skel"])
    except DataError:
        raise
    except Exception as error:  # scipy raises a dozen kinds for a damaged file
        raise DataError(f"{path}: not a readable MATLAB file ({type(error).__name__}: {error})") from error
    if array.shape != shape or array.dtype.kind != "f":
        raise DataError(f"{path}: {wanted}, it is {array.dtype} {array.shape}")
    wrong = outside(array, "m").any(axis=(0, 1))
    if wrong.any():
        frame = int(wrong.argmax()) + 1
        raise DataError(f"{path}: frame {frame} of 'd_skel' holds a value not finite or beyond {LARGEST['m']:g} m")
    return array


def _check_size(path: Path) -> None:
    """Raise ``DataError`` if a file, or a variable that it holds compressed, is too large."""
    too_large = DataError(f"{path}: more than {MOST_BYTES >> 20} MiB, itself or when decompressed: no clip's file")
    if path.stat().st_size > MOST_BYTES:
        raise too_large
    content = path.read_bytes()
    order = ">" if content[126:128] == b"MI" else "<"
    place = 128  # the header
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind == _COMPRESSED:
            decoder = zlib.decompressobj()
            decoder.decompress(content[place + 8 : place + 8 + size], MOST_BYTES)
            if decoder.unconsumed_tail:
                raise too_large
        place += 8 + size
