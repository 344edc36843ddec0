"""A stand-in for NTU RGB+D: sixty actions by forty people in front of three cameras, generated on demand."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np

from skeleton_adv.core.ranges import Range, Whole
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.dataset import Clip, Dataset, PaperSet, RawClip, Split, Take
from skeleton_adv.data.ntu import (
    LISTED_BODIES,
    TRAIN_CAMERAS,
    TRAIN_SUBJECTS,
    select_bodies,
    take_of,
    write_skeleton_file,
)
from skeleton_adv.data.synthetic.camera import Camera, draw_camera, sense, tracked
from skeleton_adv.data.synthetic.kinematics import heading, pose
from skeleton_adv.data.synthetic.motions import ACTIONS
from skeleton_adv.data.synthetic.performer import Performer, draw_performer, perform

GENERATOR = "1"  # raise it whenever a change of the code changes a clip
NUM_SUBJECTS = 40
CAMERAS = {1: 45.0, 2: 0.0, 3: -45.0}  # degrees; the second camera is in front of the subjects
FPS = 30.0
CLIP_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
Purpose = Literal["performer", "performance", "camera", "sensor", "detector"]
# Added to a subject's number: each subject has their own partner, so that no test subject is in training clips.
_PARTNER = 100
# Coordinates are rounded to 10 micrometres, because the last bits of a sine differ between machines.
_DECIMALS = 5


class _Code(NamedTuple):
    """The numbers in the name of a clip, in NTU's format."""

    setup: int
    camera: int
    subject: int
    repetition: int
    action: int

    @property
    def name(self) -> str:
        return "S{:03}C{:03}P{:03}R{:03}A{:03}".format(*self)


def _setup(subject: int) -> int:
    """The arrangement of cameras, 1 to 17, in front of which a subject performs."""
    return 1 + (subject - 1) * 17 // NUM_SUBJECTS


@dataclass(frozen=True)
class SyntheticMotion(Dataset):
    """Procedural human motion with NTU RGB+D's skeleton, cameras and splits (Shahroudy et al., arXiv 1604.02808).

    A performance is identified by a subject, an action and a repetition. Three cameras record it, each with its own
    errors. A clip depends only on ``seed`` and its name. Raises ``ValueError`` for settings out of range.
    """

    protocol: Literal["cs", "cv"] = "cs"
    num_actions: Annotated[int, Range("[2, 60]")] = 60  # the first ones
    repetitions: Annotated[int, Range("[1, 999]")] = 1
    seed: Whole = 0
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 2]")] = 2

    skeleton = NTU25
    fps = FPS
    all_classes = tuple(action.name for action in ACTIONS)
    stand_in = True
    generated = True

    @property
    def name(self) -> str:
        return f"synthetic_{self.protocol}"

    @property
    def stands_for(self) -> PaperSet:
        return "NTU RGB+D, cross-view" if self.protocol == "cv" else "NTU RGB+D, cross-subject"

    def clips(self) -> tuple[Clip, ...]:
        codes = [
            _Code(_setup(subject), camera, subject, repetition, action)
            for subject in range(1, NUM_SUBJECTS + 1)
            for camera in CAMERAS
            for repetition in range(1, self.repetitions + 1)
            for action in range(1, self.num_actions + 1)
        ]
        return tuple(Clip(code.name, code.action - 1, self._split(code)) for code in codes)

    def take(self, clip: Clip) -> Take | None:
        return take_of(clip.name)

    @property
    def repeating(self) -> str:
        return f"set dataset.repetitions={max(2, self.repetitions)}"

    def read(self, clip: Clip) -> RawClip:
        seen, found = self._recorded(clip)
        frames = np.ascontiguousarray(seen.transpose(0, 3, 2, 1), dtype=np.float32)
        exists = np.repeat(found[:, None], NTU25.num_joints, axis=1)
        return select_bodies(RawClip(frames, exists).padded(LISTED_BODIES), self.num_persons)

    def write(self, clips: Iterable[Clip], folder: Path) -> None:
        """Write these clips into ``folder`` as NTU RGB+D's ``.skeleton`` files."""
        folder.mkdir(parents=True, exist_ok=True)
        for clip in clips:
            write_skeleton_file(folder / f"{clip.name}.skeleton", *self._recorded(clip))

    def fingerprint(self) -> str:
        """Digest of the generator's version and of every setting that changes the clips as read."""
        facts = (GENERATOR, self.name, self.num_actions, self.repetitions, self.seed, self.num_persons)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def performance(self, clip: Clip) -> np.ndarray:
        """The joints (F, P, V, 3) of the P persons in the room, in metres, with y up and the floor at y = 0."""
        code = self._code(clip)
        action = ACTIONS[code.action - 1]
        rng = self._rng("performance", code.subject, code.action, code.repetition)
        people = [self.performer(code.subject), self.performer(_PARTNER + code.subject)]
        length = action.seconds * np.exp(rng.normal(0, 0.13)) / people[0].tempo
        seconds = np.arange(int(np.clip(round(length * FPS), 40, 120))) / FPS
        mirrored = people[0].left_handed and not action.sided
        middle, facing = rng.uniform(-0.15, 0.15, 3) * (1, 0, 1), rng.uniform(-20, 20)
        casts = [action.tracks, action.partner] if action.partner else [action.tracks]
        dofs = [perform(tracks, who, seconds, mirrored, rng) for tracks, who in zip(casts, people, strict=False)]
        figures = [pose(dof, who.offsets) for dof, who in zip(dofs, people, strict=False)]
        return np.stack(_place(figures, action.gap + rng.normal(0, 0.04), facing), 1) + middle

    def performer(self, subject: int) -> Performer:
        """The person with this number, 1 to 40; a partner's number is 100 higher."""
        return draw_performer(self._rng("performer", subject))

    def camera(self, clip: Clip) -> Camera:
        """The camera that records this clip."""
        code = self._code(clip)
        return draw_camera(CAMERAS[code.camera], self._rng("camera", code.setup, code.camera))

    def stream(self, purpose: Purpose, clip: Clip) -> np.random.Generator:
        """Random numbers for the view of one camera on a performance."""
        code = self._code(clip)
        return self._rng(purpose, code.subject, code.action, code.repetition, code.camera)

    def _recorded(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """Joints (F, P, V, 3) in the camera's coordinates, in metres, and (F, P) whether it tracks each person."""
        rng = self.stream("sensor", clip)
        seen = sense(self.camera(clip).view(self.performance(clip)), rng).round(_DECIMALS)
        found = tracked(seen.shape[0], seen.shape[1], rng)
        seen[~found] = 0
        return seen, found

    def _rng(self, purpose: Purpose, *numbers: int) -> np.random.Generator:
        """The stream of random numbers for one purpose; no two streams overlap."""
        first = get_args(Purpose).index(purpose)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(first, *numbers))))

    def _code(self, clip: Clip) -> _Code:
        match = CLIP_NAME.fullmatch(clip.name)
        code = _Code(*(int(number) for number in match.groups())) if match else None
        if (
            code is None
            or not 1 <= code.subject <= NUM_SUBJECTS
            or code.setup != _setup(code.subject)
            or code.camera not in CAMERAS
            or not 1 <= code.repetition <= self.repetitions
            or not 1 <= code.action <= self.num_actions
        ):
            raise ValueError(
                f"{clip.name} is not a clip of {self.name}: use one of clips(), such as S001C001P001R001A001"
            )
        return code

    def _split(self, code: _Code) -> Split:
        train = code.subject in TRAIN_SUBJECTS if self.protocol == "cs" else code.camera in TRAIN_CAMERAS
        return "train" if train else "test"


def _place(figures: list[np.ndarray], gap: float, facing: float) -> list[np.ndarray]:
    """Figures (F, V, 3) in the room: one in its middle, or two that face each other at a distance of ``gap`` metres.

    A single figure faces the second camera; two figures are side by side as this camera sees them. All turn by another
    ``facing`` degrees.
    """
    if len(figures) == 1:
        return [figures[0] @ heading(np.array(facing)).T]
    apart = np.array([0.0, 0.0, gap / 2])
    return [(f - apart) @ heading(np.array(facing + turn)).T for f, turn in zip(figures, (90.0, -90.0), strict=True)]
