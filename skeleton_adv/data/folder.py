"""A user's own dataset: a folder of clip files with their labels and their skeleton."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.files import digest
from skeleton_adv.core.ranges import Fraction, Range
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.arrays import to_raw, unit_in_space
from skeleton_adv.data.dataset import Clip, Dataset, RawClip, Take, Unit, content_facts
from skeleton_adv.data.folder_clips import read_clip_file
from skeleton_adv.data.folder_labels import Labels, read_labels
from skeleton_adv.data.folder_skeleton import About, read_about
from skeleton_adv.data.naming import own_name


@dataclass(frozen=True)
class Folder(Dataset):
    """Clips of any skeleton in ``root``, at any depth: ``.npz``, ``.npy`` and ``.csv`` files.

    Beside them are ``labels.csv`` (``folder_labels``), ``skeleton.yaml`` (``folder_skeleton``) and, if the order of
    the network's outputs matters, ``classes.txt``. A clip's name is its file's path in ``root`` without suffix.

    - ``test_subjects``: without a column ``split``, the subjects whose clips test; the others' train.

    Without either, every clip is a test clip. Raises ``DataError`` naming file and line.
    """

    root: str
    test_subjects: Sequence[int | str] = ()  # compared as text
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 6]")] = 1
    test_crop: Fraction = 1.0

    splitting = "add a column split (train, test) to labels.csv, or a column subject and dataset.test_subjects=[...]"

    def __post_init__(self) -> None:
        super().__post_init__()
        subjects = self.test_subjects
        if isinstance(subjects, str) or not all(type(one) in (int, str) for one in subjects):
            raise SettingError(f"dataset.test_subjects={subjects} must be a list of subjects, such as [s01,s02]")
        object.__setattr__(self, "test_subjects", tuple(map(str, subjects)))

    @property
    def name(self) -> str:
        return own_name(self._folder.absolute().name)

    @property
    def skeleton(self) -> Skeleton:
        return self._about.skeleton

    @property
    def all_classes(self) -> tuple[str, ...]:
        return self._labels.classes

    @property
    def fps(self) -> float:
        return self._about.fps

    @property
    def unit(self) -> Unit:
        return unit_in_space(self._about.unit)

    @property
    def image_size(self) -> tuple[float, float] | None:
        return self._about.image_size

    def facts(self) -> Mapping[str, Any]:
        return content_facts(self)

    def clips(self) -> tuple[Clip, ...]:
        return self._labels.clips

    def take(self, clip: Clip) -> Take | None:
        """The subject and the split in ``labels.csv``."""
        subject = self._labels.subjects.get(clip.name)
        return None if subject is None else Take(subject, clip.split)

    @property
    def repeating(self) -> str:
        return "add the columns subject and split to labels.csv"

    def path(self, clip: Clip) -> Path:
        return self._folder / self._labels.files[clip.name]

    def read(self, clip: Clip) -> RawClip:
        path, about = self.path(clip), self._about
        values, mask = read_clip_file(path, about.skeleton)
        size, persons = about.image_size, self.num_persons
        return to_raw(
            values, about.skeleton, unit=about.unit, image_size=size, mask=mask, num_persons=persons, where=str(path)
        )

    def fingerprint(self) -> str:
        """As every dataset's, and of the content of the files that describe the clips."""
        paths = [
            path for name in ("labels.csv", "skeleton.yaml", "classes.txt") if (path := self._folder / name).exists()
        ]
        facts = (super().fingerprint(), [(path.name, digest(path)) for path in paths])
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def _folder(self) -> Path:
        return Path(self.root).expanduser()

    @cached_property
    def _about(self) -> About:
        self._check_folder()
        return read_about(self._folder / "skeleton.yaml")

    @cached_property
    def _labels(self) -> Labels:
        self._check_folder()
        return read_labels(self._folder, [str(one) for one in self.test_subjects])

    def _check_folder(self) -> None:
        if not self._folder.is_dir():
            raise DataError(
                f"dataset.root={self.root} is not a folder: set dataset.root=... to the folder with your clips, "
                "labels.csv and skeleton.yaml"
            )
