"""Clips that a Python caller holds in memory, as a dataset."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import Fraction, Positive
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.arrays import padded
from skeleton_adv.data.dataset import Clip, Dataset, RawClip, Unit, content_facts
from skeleton_adv.data.naming import own_name


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory(Dataset):
    """A user's clips, of any length, on any skeleton; ``arrays.to_raw`` makes each of them.

    - ``body``: the skeleton;
    - ``arrays``: clips (T, C, V, M) in the attack space, with at most ``num_persons`` persons;
    - ``listed``: name, label and split of each;
    - ``names_of_classes``: in the order of the labels;
    - ``title``: the name in tables and output folders;
    - ``recorded_fps``: frames per second;
    - ``coordinates``: ``m``, or ``image``: fractions of the image;
    - ``image_size``: its width and height in pixels, for exported clips; changes no number.

    Raises ``SettingError`` if these do not fit together. A ``Memory`` equals only itself.
    """

    body: Skeleton
    arrays: tuple[RawClip, ...]
    listed: tuple[Clip, ...]
    names_of_classes: tuple[str, ...]
    title: str = "own"
    recorded_fps: Positive = 30.0
    coordinates: Unit = "m"
    image_size: tuple[float, float] | None = None
    splitting = "clips from arrays are all test clips; read clips from a folder with sa.load_clips"
    test_crop: Fraction = 1.0

    generated = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.arrays) != len(self.listed):
            raise SettingError(f"{self.title}: {len(self.arrays)} arrays for {len(self.listed)} listed clips")
        if len(set(self.names_of_classes)) < max(2, len(self.names_of_classes)):
            raise SettingError(f"{self.title}: names_of_classes must be two or more different names")
        if self.coordinates == "image" and len(self.body.coords) != 2:
            raise SettingError(f"{self.title}: coordinates=image does not fit {self.body.name}: it has three")

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def name(self) -> str:
        return own_name(self.title)

    @property
    def skeleton(self) -> Skeleton:
        return self.body

    @property
    def all_classes(self) -> tuple[str, ...]:
        return self.names_of_classes

    @property
    def fps(self) -> float:
        return self.recorded_fps

    @property
    def unit(self) -> Unit:
        return self.coordinates

    def clips(self) -> tuple[Clip, ...]:
        return self.listed

    def read(self, clip: Clip) -> RawClip:
        if clip.name not in self._places:
            raise DataError(f"{self.name}: there is no clip {clip.name}")
        return padded(self.arrays[self._places[clip.name]], self.num_persons, f"{self.name}: clip {clip.name}")

    def facts(self) -> Mapping[str, Any]:
        return content_facts(self)

    def fingerprint(self) -> str:
        """Digest of all content: clips, labels, splits, skeleton, rate, unit; not of names and settings."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        facts = (self.body, float(self.recorded_fps), self.coordinates, self.num_persons, self.listed)
        total = hashlib.sha256(repr(facts).encode())
        for frames, exists in self.arrays:
            total.update(repr(frames.shape).encode() + frames.tobytes() + exists.tobytes())
        return total.hexdigest()

    @cached_property
    def _places(self) -> dict[str, int]:
        return {clip.name: place for place, clip in enumerate(self.listed)}
