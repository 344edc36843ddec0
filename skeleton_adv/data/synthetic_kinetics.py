"""A stand-in for Kinetics-skeleton: the synthetic performances as a pose detector finds them in a video."""

import hashlib
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.ranges import Range, Whole
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18
from skeleton_adv.data.dataset import Clip, Dataset, RawClip
from skeleton_adv.data.kinetics import keep_surest, write_labels, write_openpose_file
from skeleton_adv.data.synthetic.camera import hidden
from skeleton_adv.data.synthetic.dataset import GENERATOR, SyntheticMotion

# Positions of the joints of the face relative to the centre of the head, in metres: to its left, up, ahead.
_FACE = {
    "nose": (0.0, -0.02, 0.11),
    "left_eye": (0.03, 0.02, 0.09),
    "right_eye": (-0.03, 0.02, 0.09),
    "left_ear": (0.075, 0.0, 0.0),
    "right_ear": (-0.075, 0.0, 0.0),
}
_SAME = {"neck": "spine"}  # every other joint has the same name in both skeletons
_FROM = [NTU25.joints.index("head" if name in _FACE else _SAME.get(name, name)) for name in OPENPOSE18.joints]
_FOCAL = np.array([0.79, 1.4])  # focal length as a fraction of the image's width and height, at 16:9
_ERROR = 0.004  # as a fraction of the image
_MEMORY = 0.8  # correlation of errors and of losses between successive frames


@dataclass(frozen=True)
class SyntheticKinetics(Dataset):
    """Procedural human motion in the form of Kinetics-skeleton (Yan et al., arXiv 1801.07455).

    The people, actions and cameras are those of ``SyntheticMotion``. A camera image is simulated, and a detector
    finds the joints with errors; its scores are lower for hidden joints, and it sometimes misses a joint. Test clips
    and training clips show different people.
    """

    num_actions: Annotated[int, Range("[2, 60]")] = 60  # the first ones
    repetitions: Annotated[int, Range("[1, 999]")] = 1
    seed: Whole = 0
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 2]")] = 2

    name = "synthetic_kinetics"
    skeleton = OPENPOSE18
    all_classes = SyntheticMotion.all_classes
    fps = SyntheticMotion.fps
    unit = "image"
    stands_for = "Kinetics"
    stand_in = True
    generated = True

    def clips(self) -> tuple[Clip, ...]:
        return self._motion.clips()

    def read(self, clip: Clip) -> RawClip:
        return keep_surest(self._detected(clip), self.num_persons)

    def write(self, clips: Iterable[Clip], folder: Path) -> None:
        """Write these clips below ``folder`` in Kinetics-skeleton's format, with their label files."""
        written = []
        for clip in clips:
            place = folder / ("kinetics_train" if clip.split == "train" else "kinetics_val")
            place.mkdir(parents=True, exist_ok=True)
            write_openpose_file(place / f"{clip.name}.json", self._detected(clip), clip, self.classes[clip.label])
            written.append(clip)
        write_labels(folder, self.clips(), written, self.classes)

    def fingerprint(self) -> str:
        """Digest of the generator's version and of every setting that changes the clips as read."""
        facts = (GENERATOR, self.name, self.num_actions, self.repetitions, self.seed, self.num_persons)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def _motion(self) -> SyntheticMotion:
        return SyntheticMotion("cs", self.num_actions, self.repetitions, self.seed)

    def _detected(self, clip: Clip) -> np.ndarray:
        """The output of the detector, (F, P, 18, 3): x and y as fractions of the image, y down, and score."""
        motion = self._motion
        seen = motion.camera(clip).view(motion.performance(clip))  # (F, P, 25, 3)
        joints = seen[:, :, _FROM] + _face(seen)
        rng = motion.stream("detector", clip)
        unsure = hidden(seen)[:, :, _FROM]
        image = 0.5 - _FOCAL * joints[..., :2] / joints[..., 2:]  # the camera's x and y point left and up
        error = _ERROR * (1 + 2 * unsure)
        image += error[..., None] * _lasting(rng.normal(size=image.shape))
        score = 0.82 - 0.35 * unsure + 0.06 * _lasting(rng.normal(size=unsure.shape))
        found = _lasting(rng.normal(size=unsure.shape)) > -2.3 + 1.3 * unsure
        # Rounded to three decimals, as in the files of Kinetics-skeleton.
        report = np.concatenate([image, score.clip(0.05, 0.99)[..., None]], axis=-1).round(3)
        found &= ((image >= 0) & (image <= 1)).all(axis=-1)
        report[~found] = 0
        return report


def _face(seen: np.ndarray) -> np.ndarray:
    """(F, P, 18, 3) offset of each joint from the Kinect joint that replaces it, in the camera's coordinates."""
    joint = NTU25.joints.index
    up = _unit(seen[:, :, joint("head")] - seen[:, :, joint("neck")])
    across = seen[:, :, joint("left_shoulder")] - seen[:, :, joint("right_shoulder")]
    left = _unit(across - (across * up).sum(-1, keepdims=True) * up)
    axes = np.stack([left, up, np.cross(left, up)], axis=2)  # (F, P, 3, 3)
    face = np.array([_FACE.get(name, (0.0, 0.0, 0.0)) for name in OPENPOSE18.joints])
    offsets: np.ndarray = np.einsum("va,fpac->fpvc", face, axes)
    return offsets


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _lasting(noise: np.ndarray) -> np.ndarray:
    """White noise (F, ...) converted in place to noise that is correlated between frames, with the same variance."""
    noise[1:] *= np.sqrt(1 - _MEMORY**2)
    for frame in range(1, len(noise)):
        noise[frame] += _MEMORY * noise[frame - 1]
    return noise
