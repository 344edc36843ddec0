"""A dataset whose classes are the subjects, not the actions: ``dataset.label=subject``."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.dataset import Clip, Dataset, Label, Prepared, RawClip, Space, Take, Unit


@dataclass(frozen=True, kw_only=True)
class Subjects(Dataset):
    """The clips of ``actions``, labelled with the subjects who perform, and split by repetitions.

    Frames, names and numbers of the clips are those of ``actions``, so that saved clips of the one are clips of the
    other. Its classes are the names of the subjects, each of whom has training and test clips (``Dataset.take``).
    Raises ``SettingError`` if the subject of a clip is not known, or if a subject has clips in one half only.
    """

    actions: Dataset
    label: Label = "subject"

    stands_for = None  # the paper recognises no subjects

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.actions).take is Dataset.take:
            raise self._unknown(f"the subjects of {self.actions.name} are not known")

    @property
    def name(self) -> str:
        return f"{self.actions.name}_subjects"

    @property
    def skeleton(self) -> Skeleton:
        return self.actions.skeleton

    @property
    def fps(self) -> float:
        return self.actions.fps

    @property
    def unit(self) -> Unit:
        return self.actions.unit

    @property
    def spaces(self) -> tuple[Space, ...]:
        return self.actions.spaces

    @property
    def image_size(self) -> tuple[float, float] | None:
        return self.actions.image_size

    @property
    def stand_in(self) -> bool:
        return self.actions.stand_in

    @property
    def splitting(self) -> str:
        return self.actions.splitting

    @property
    def generated(self) -> bool:
        return self.actions.generated

    def facts(self) -> Mapping[str, Any]:
        return self.actions.facts()

    @property
    def all_classes(self) -> tuple[str, ...]:
        return tuple(sorted({take.subject for take in self._takes.values()}, key=_natural))

    def clips(self) -> tuple[Clip, ...]:
        places = {subject: place for place, subject in enumerate(self.all_classes)}
        return tuple(Clip(name, places[take.subject], take.split) for name, take in self._takes.items())

    def read(self, clip: Clip) -> RawClip:
        return self.actions.read(clip)

    def path(self, clip: Clip) -> Path:
        return self.actions.path(clip)

    def sources(self) -> tuple[Path, ...]:
        return self.actions.sources()

    @cached_property
    def _takes(self) -> dict[str, Take]:
        """The subject and the half of each clip, by its name."""
        found: dict[str, Take] = {}
        for clip in self.actions.clips():
            take = self.actions.take(clip)
            if take is None:
                raise self._unknown(f"the subject of the clip {clip.name} is not known")
            found[clip.name] = take
        halves = {(take.subject, take.split) for take in found.values()}
        for subject in sorted({subject for subject, _ in halves}, key=_natural):
            for split, half in (("train", "training"), ("test", "test")):
                if (subject, split) not in halves:
                    raise self._unknown(f"subject {subject} of {self.actions.name} has no {half} clips")
        return found

    def _unknown(self, why: str) -> SettingError:
        more = f"{self.actions.repeating}, or " if self.actions.repeating else ""
        return SettingError(f"dataset.label=subject: {why}: {more}set dataset.label=action")


class Relabelled:
    """Prepared clips with the labels and splits of ``dataset``; frames and numbers are the same."""

    def __init__(self, prepared: Prepared, dataset: Dataset) -> None:
        own = {clip.name: clip for clip in dataset.clips()}
        self.clips = tuple(own[clip.name] for clip in prepared.clips)
        self.digest = hashlib.sha256(repr((prepared.digest, dataset.classes, self.clips)).encode()).hexdigest()
        self.skipped = prepared.skipped
        self._prepared = prepared

    def raw(self, index: int) -> RawClip:
        return self._prepared.raw(index)


def labelled(dataset: Dataset, label: Label | None = None) -> Dataset:
    """The dataset with the classes that its setting ``label``, or this ``label``, asks for."""
    actions = dataset.actions if isinstance(dataset, Subjects) else dataset
    wanted = label or dataset.label
    if wanted == "action":
        return actions if actions.label == "action" else replace(actions, label="action")
    if isinstance(dataset, Subjects):
        return dataset
    shared = {field.name: getattr(dataset, field.name) for field in fields(Dataset)}
    return Subjects(actions=labelled(dataset, "action"), **shared | {"label": "subject"})


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """What names are sorted by: numbers in them by their size, so that s2 comes before s10."""
    parts = re.findall(r"\d+|\D+", name)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]
