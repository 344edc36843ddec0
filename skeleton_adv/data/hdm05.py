"""HDM05: optical motion capture of five actors, in the official cuts per action."""

import hashlib
import re
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Count, Range
from skeleton_adv.core.skeleton import HDM31
from skeleton_adv.data.acclaim import Body, positions, read_amc, read_asf
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, RawClip, Split, Take, outside
from skeleton_adv.data.files import file_facts, matched_files

EVERY = 4  # of the recorded 120 frames per second
ACTORS: dict[str, Split] = {"bd": "train", "bk": "train", "dg": "train", "mm": "test", "tr": "test"}
ELEVEN = (
    *("depositFloorR", "elbowToKnee1RepsLelbowStart", "grabHighR", "hopBothLegs1hops", "jogLeftCircle4StepsRstart"),
    *("kickLFront1Reps", "lieDownFloor", "rotateArmsBothBackward1Reps", "sneak2StepsLStart", "squat1Reps"),
    "throwBasketball",
)
FILE_NAME = re.compile(rf"HDM_({'|'.join(ACTORS)})_([A-Za-z0-9]+)_(\d+)_120\.amc")
LIKE = "HDM_bd_squat1Reps_001_120.amc"
BONES = (
    *("lhipjoint", "lfemur", "ltibia", "lfoot", "ltoes", "rhipjoint", "rfemur", "rtibia", "rfoot", "rtoes"),
    *("lowerback", "upperback", "thorax", "lowerneck", "upperneck", "head"),
    *("lclavicle", "lhumerus", "lradius", "lwrist", "lhand", "lfingers", "lthumb"),
    *("rclavicle", "rhumerus", "rradius", "rwrist", "rhand", "rfingers", "rthumb"),
)  # each ends in the joint of HDM31 with the same number; joint 0 is the root


@dataclass(frozen=True)
class HDM05(Dataset):
    """HDM05 (Mueller et al., Technical Report CG-2007-2, Universitaet Bonn): 31 joints, one person, every fourth frame.

    ``root`` contains the official cuts ``HDM_<actor>_<action>_<number>_120.amc`` and the five actors' bodies
    ``HDM_<actor>.asf``. Joints follow by forward kinematics, so that bones are rigid; metres, y up, 30 Hz. The actors
    bd, bk and dg are for training, mm and tr for testing. The actions are those of the files, in the order of their
    names; a folder with exactly the actions ``ELEVEN`` is the dataset ``hdm05_11``. The data used are obtained from
    HDM05. Raises ``DataError`` naming the file and its line or frame.
    """

    classes_in_files = True

    root: str
    num_actions: Annotated[int, Range("[2, 130]")] = 130
    _: KW_ONLY
    num_frames: Count = 32
    num_persons: Annotated[int, Range("[1, 4]")] = 1

    skeleton = HDM31
    stands_for = "NTU RGB+D, cross-subject"
    stand_in = True

    @property
    def name(self) -> str:
        try:
            return "hdm05_11" if self.all_classes == ELEVEN else "hdm05"
        except DataError:  # there is no folder yet; reading its clips raises the error
            return "hdm05"

    @property
    def all_classes(self) -> tuple[str, ...]:
        return tuple(sorted({action for _, _, action in self._files}))

    def clips(self) -> tuple[Clip, ...]:
        labels = {action: label for label, action in enumerate(self.classes)}
        return tuple(
            Clip(path.stem, labels[action], ACTORS[actor]) for path, actor, action in self._files if action in labels
        )

    def take(self, clip: Clip) -> Take:
        """The cuts of an actor's action with odd numbers are for training."""
        _, actor, _, number, _ = clip.name.split("_")
        return Take(actor, "train" if int(number) % 2 else "test")

    def path(self, clip: Clip) -> Path:
        return self._folder / f"{clip.name}.amc"

    def read(self, clip: Clip) -> RawClip:
        path = self.path(clip)
        body = self._body(clip.name.split("_")[1])
        joints = positions(body, read_amc(path, body).every(EVERY))  # (F, V, 3)
        wrong = outside(joints, "m").any(axis=(1, 2))
        if wrong.any():
            frame = EVERY * int(wrong.argmax()) + 1
            raise DataError(f"{path}: frame {frame} contains a coordinate that exceeds {LARGEST['m']:g} m")
        if len(joints) < 2:
            raise DataError(f"{path}: fewer than {EVERY + 1} frames, of which every {EVERY}th is read")
        frames = joints.transpose(0, 2, 1)[..., None].astype(np.float32)  # (F, C, V, 1)
        return RawClip(frames, np.ones_like(frames[:, 0], dtype=bool)).padded(self.num_persons)

    def fingerprint(self) -> str:
        """The digest of any dataset's input, and also of the actors' bodies."""
        bodies = [file_facts(path) for path in sorted({self._body_file(actor) for _, actor, _ in self._files})]
        return hashlib.sha256(repr((super().fingerprint(), bodies)).encode()).hexdigest()

    @property
    def _folder(self) -> Path:
        return Path(self.root).expanduser()

    @cached_property
    def _files(self) -> list[tuple[Path, str, str]]:
        """Every clip's file with its actor and action."""
        return [(path, actor, action) for path, (actor, action, _) in matched_files(self.root, FILE_NAME, LIKE)]

    @cached_property
    def _bodies(self) -> dict[str, Body]:
        return {}

    def _body_file(self, actor: str) -> Path:
        return self._folder / f"HDM_{actor}.asf"

    def _body(self, actor: str) -> Body:
        """An actor's body, read once; raises ``DataError`` unless its bones are those of HDM05."""
        if actor not in self._bodies:
            path = self._body_file(actor)
            body = read_asf(path)
            expected = tuple(HDM31.parents[joint] for joint in range(1, HDM31.num_joints))
            if body.joints[1:] != BONES or body.parents != expected:
                odd = next((name for name in body.joints[1:] if name not in BONES), "their order or hierarchy")
                raise DataError(f"{path}: the bones are not the 30 of HDM05 ({odd[:40]} differs)")
            self._bodies[actor] = body
        return self._bodies[actor]
