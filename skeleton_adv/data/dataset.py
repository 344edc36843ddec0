"""The interface of datasets. It imports no torch, so that processes that only read files start fast."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import Count, Fraction, Range, check_call
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.files import file_facts

Split = Literal["train", "test"]
Space = Literal["camera", "normalised"]  # as recorded, or centred and rotated by 2s-AGCN's pre-normalisation
OnError = Literal["stop", "skip"]  # what preparation does with a broken file
Label = Literal["action", "subject"]  # what the classes are
Unit = Literal["m", "image"]  # metres, or fractions of the image
PaperSet = Literal["NTU RGB+D, cross-subject", "NTU RGB+D, cross-view", "Kinetics"]  # Zheng et al.'s
# Settings that do not change clips as read.
AFTER_READING = ("root", "label", "num_frames", "test_crop", "space", "on_error")
LARGEST: dict[Unit, float] = {"m": 100.0, "image": 1000.0}  # a larger coordinate means a damaged file


@dataclass(frozen=True)
class Clip:
    """One recorded action; its name is unique in the dataset, and its label counts from 0."""

    name: str
    label: int
    split: Split


class Take(NamedTuple):
    """Who performs in a clip, and in which half of this subject's repetitions of the action it is."""

    subject: str
    split: Split


class RawClip(NamedTuple):
    """A clip as recorded, after body selection and before any crop or resize."""

    frames: np.ndarray  # (F, C, V, M) float32; 0 for joints that do not exist
    exists: np.ndarray  # (F, V, M) bool

    def padded(self, num_persons: int) -> "RawClip":
        """The clip with absent bodies added after its own bodies, ``num_persons`` in total."""
        absent = num_persons - self.frames.shape[-1]
        frames = np.pad(self.frames, [(0, 0), (0, 0), (0, 0), (0, absent)])
        return RawClip(frames, np.pad(self.exists, [(0, 0), (0, 0), (0, absent)]))


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """A set of labelled clips. ``read`` returns one clip as recorded and keeps nothing in memory.

    A new dataset is a frozen dataclass that derives from this class and defines ``name``, ``skeleton``,
    ``all_classes``, ``clips`` and ``read``, and ``path``, ``sources`` or ``fingerprint``. Its fields are
    settings, whose annotations give their ranges. All datasets have these settings:

    - ``num_frames``: T, the frames of a batch;
    - ``num_persons``: M, the number of bodies in a clip; absent bodies are 0;
    - ``test_crop``: the central fraction of a clip that is kept at test time;
    - ``space``: one of ``spaces``;
    - ``label``: what the classes are; ``subject`` makes ``data.subjects.Subjects`` of the dataset;
    - ``on_error``: what preparation does with a broken file.

    Raises ``SettingError`` for a setting out of range.
    """

    classes_in_files: ClassVar[bool] = False  # whether the names of the classes are read from the dataset's files

    num_frames: Count = 64
    num_persons: Annotated[int, Range("[1, 6]")] = 1
    test_crop: Fraction = 0.95
    space: Space = "camera"
    label: Label = "action"
    on_error: OnError = "stop"

    def __post_init__(self) -> None:
        check_call(type(self), {field.name: getattr(self, field.name) for field in fields(self)}, "dataset.")
        if self.space not in self.spaces:
            raise SettingError(
                f"dataset.space={self.space}: the files of {self.name} contain the {self.spaces[0]} space only: "
                f"set dataset.space={self.spaces[0]}"
            )

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def skeleton(self) -> Skeleton: ...

    @property
    @abstractmethod
    def all_classes(self) -> tuple[str, ...]:
        """The names of all actions of the dataset, in the order of their labels."""

    @property
    def num_actions(self) -> int | None:
        """The number of actions that are used, from the first; a setting of most datasets. None: all."""
        return None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the actions that are used."""
        return self.all_classes[: self.num_actions]

    @property
    def fps(self) -> float:
        """Frames per second of the recordings."""
        return 30.0

    @property
    def unit(self) -> Unit:
        """Unit of the coordinates: metres, or fractions of the image."""
        return "m"

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The spaces that the files give; clips whose only space is ``normalised`` are normalised in the files."""
        return "camera", "normalised"

    @property
    def image_size(self) -> tuple[float, float] | None:
        """Width and height of the image in pixels; None if there is none, or if clips are of several sizes."""
        return None

    @property
    def stands_for(self) -> PaperSet | None:
        """The paper's dataset whose published numbers appear beside the results on this one. None: no numbers."""
        return None

    @property
    def stand_in(self) -> bool:
        """Whether this dataset is a stand-in for the paper's; every table then states it."""
        return False

    @property
    def splitting(self) -> str:
        """What a user does if a split is empty."""
        return "complete the dataset's files, or choose another protocol"

    @property
    def repeating(self) -> str:
        """What a user does if a subject has clips in one half of the repetitions only; empty: nothing."""
        return ""

    @property
    def generated(self) -> bool:
        """Whether a generator makes the clips, so that there are no files to prepare."""
        return False

    def facts(self) -> Mapping[str, Any]:
        """Facts of a user's files, beyond settings, that change a number: plain JSON values. None for most datasets."""
        return {}

    @abstractmethod
    def clips(self) -> tuple[Clip, ...]:
        """All clips of the classes that are used; raises ``DataError`` if the files cannot be listed."""

    def take(self, clip: Clip) -> Take | None:
        """The subject of a clip, and the half of the subject's repetitions that it belongs to; None: not known."""
        return None

    @abstractmethod
    def read(self, clip: Clip) -> RawClip:
        """One clip, (F, C, V, ``num_persons``); raises ``DataError`` naming the file and the position of any damage."""

    def one_pass(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError] | None:
        """These clips or their errors, in the order of ``clips()``, from files that one process reads from the start.

        None if ``read`` gives each clip equally fast.
        """
        return None

    def sources(self) -> tuple[Path, ...]:
        """The few files that contain all clips; empty if each clip has its own, ``path``."""
        return ()

    def path(self, clip: Clip) -> Path:
        """The file that contains a clip."""
        raise NotImplementedError(f"{type(self).__name__} defines none of path, sources and fingerprint")

    def fingerprint(self) -> str:
        """Digest of the input of preparation: settings, clips, and the size and modification time of each file."""
        settings = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in AFTER_READING}
        files = self.sources()
        clips = () if files else self.clips()  # the list of clips may be in a file of gigabytes
        facts = [file_facts(path) for path in files or dict.fromkeys(map(self.path, clips))]
        return hashlib.sha256(repr((self.name, settings, clips, facts)).encode()).hexdigest()


def content_facts(dataset: Dataset) -> dict[str, Any]:
    """The facts of a user's own clips that neither settings nor frames and labels show."""
    return {
        "skeleton": dataset.skeleton.as_dict(),
        "fps": float(dataset.fps),
        "unit": dataset.unit,
        "num_classes": len(dataset.classes),
    }


def outside(values: np.ndarray, unit: Unit) -> np.ndarray:
    """Whether each coordinate, in an array of any shape, is not finite or too large for a recording."""
    inside: np.ndarray = np.abs(values) <= LARGEST[unit]
    return ~inside


class Skipped(NamedTuple):
    """A clip that ``on_error=skip`` left out, and the reason."""

    name: str
    reason: str


class Prepared(Protocol):
    """Clips ready to be read by number: a memory-mapped store, or a generator."""

    @property
    def clips(self) -> tuple[Clip, ...]: ...
    @property
    def digest(self) -> str: ...
    @property
    def skipped(self) -> tuple[Skipped, ...]: ...
    def raw(self, index: int) -> RawClip: ...
