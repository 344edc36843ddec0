"""Clips for the Python API: arrays in memory, or a dataset's files."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skeleton_adv import tasks
from skeleton_adv.api.check import check_image_size, check_words
from skeleton_adv.api.victim import Victim, skeleton_of
from skeleton_adv.command.words import given, job_of, word, words_of
from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.core.ranges import Count, Positive, check_value
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.arrays import ArrayUnit, to_raw, to_unit, unit_in_space
from skeleton_adv.data.clips import Clip, Dataset, Prepared, RawClip, load_batch
from skeleton_adv.data.memory import Memory
from skeleton_adv.data.store import Generated
from skeleton_adv.tasks.resume import prepared_clips, test_clips

Layout = Literal["NTVC", "NCTVM"]


@dataclass(frozen=True, eq=False)
class Clips:
    """Labelled clips to attack, made by ``sa.clips`` or ``sa.load_clips``."""

    dataset: Dataset
    prepared: Prepared
    numbers: tuple[int, ...]  # the clips' numbers in their dataset, in ascending order
    limit: int | None = None
    words: tuple[str, ...] = ()  # what makes the dataset on a command line; empty for arrays
    places: tuple[str, ...] = ()  # where its files are
    unit: ArrayUnit = "m"
    image_size: tuple[float, float] | None = None
    layout: Layout = "NCTVM"
    persons: int = 1  # in the arrays that were given, and in those that are returned
    nan: bool = False  # absent joints were given as NaN, and are returned so
    lengths: tuple[int, ...] = field(default=(), repr=False)  # frames of each clip as recorded

    def __len__(self) -> int:
        return len(self.numbers)

    def __repr__(self) -> str:
        about = f"{self.skeleton.name}, {_span(self.lengths)} frames, {len(self.classes)} classes"
        return f"<{len(self)} clips of {self.dataset.name}: {about}>"

    @property
    def skeleton(self) -> Skeleton:
        """The joints and bones."""
        return self.dataset.skeleton

    @property
    def names(self) -> list[str]:
        return [self.prepared.clips[number].name for number in self.numbers]

    @property
    def labels(self) -> np.ndarray:
        """(N,) the class of each clip, from 0."""
        return np.array([self.prepared.clips[number].label for number in self.numbers])

    @property
    def index(self) -> np.ndarray:
        """(N,) the number of each clip in its dataset."""
        return np.array(self.numbers)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.dataset.classes)

    def array(self, num_frames: int) -> np.ndarray:
        """(N, C, T, V, M) the clips as a victim receives them, for example in training: resampled to ``num_frames``."""
        batch = load_batch(replace(self.dataset, num_frames=num_frames), self.prepared, self.numbers)
        array: np.ndarray = batch.x.numpy()
        return array

    def returned(self, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Clips (N, C, T, V, M) of the attack space, converted to the unit and the layout of the user's arrays.

        Joints that do not exist in ``mask`` (N, 1, T, V, M) are NaN if any joint of the arrays was NaN, otherwise 0.
        """
        x, mask = x[..., : self.persons], mask[..., : self.persons]
        x = to_unit(x, self.skeleton, unit=self.unit, image_size=self.image_size)
        x = np.where(mask, x, np.nan if self.nan else 0).astype(x.dtype)
        return x[..., 0].transpose(0, 2, 3, 1) if self.layout == "NTVC" else x

    def returned_mask(self, mask: np.ndarray) -> np.ndarray:
        """The joints that exist, (N, T, V) or (N, T, V, M), of ``mask`` (N, 1, T, V, M)."""
        mask = mask[:, 0, ..., : self.persons]
        return mask[..., 0] if self.layout == "NTVC" else mask

    def for_victim(self, victim: Victim) -> Dataset:
        """The dataset of these clips as the victim receives them; raises ``SettingError`` if they do not fit."""
        _check_skeleton(self.skeleton, victim)
        if self.dataset.num_persons > victim.num_persons or (self.words and self.persons != victim.num_persons):
            raise SettingError(
                f"the clips have {self.persons} persons, but {victim.name} takes {victim.num_persons}: set num_persons "
                "of one of them to that of the other"
            )
        if self.words:
            if len(self.classes) != victim.num_classes:
                raise SettingError(
                    f"the clips have {len(self.classes)} classes, but {victim.name} has {victim.num_classes}: use the "
                    "victim's dataset and its number of classes (num_actions)"
                )
            return self.dataset
        assert isinstance(self.dataset, Memory)
        classes = _class_names(self.dataset, victim, int(self.labels.max()))
        frames, persons = victim.num_frames, victim.num_persons
        return replace(self.dataset, names_of_classes=classes, num_frames=frames, num_persons=persons)

    def tell_frames(self, num_frames: int) -> None:
        """Log how many frames the clips have before and after resampling, if these differ."""
        if {*self.lengths} != {num_frames}:
            before = f"clips of {_span(self.lengths)} frames"
            log(f"{before} are resampled to the victim's {num_frames}; x_adv has {num_frames}")


def clips(
    array: np.ndarray | Sequence[np.ndarray],
    labels: Sequence[int] | Sequence[str] | np.ndarray,
    *,
    skeleton: str | Skeleton,
    unit: ArrayUnit,
    fps: float = 30.0,
    mask: np.ndarray | Sequence[np.ndarray] | None = None,
    image_size: tuple[float, float] | None = None,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    title: str = "own",
) -> Clips:
    """Labelled clips from arrays, for ``sa.attack`` and ``sa.certify``.

    N is the number of clips, T of frames, V of joints, C of coordinates and M of persons.

    - ``array``: (N, T, V, C) for one person per clip, or (N, C, T, V, M); or a list of N arrays (T, V, C) or
      (C, T, V, M) of different lengths. C is 3 for joints in space; in an image it is 2, or 3 with the detector's score
    - ``labels``: N classes, as numbers from 0 or as names; ``classes``: all names, in the order of the victim's logits
    - ``skeleton``: the order of the joints, by name or as a ``sa.Skeleton``; ``fps``: frames per second
    - ``unit``: ``m``, ``cm``, ``mm``; in an image ``px`` with ``image_size=(width, height)``, or ``image``
      (fractions of the image from its middle, y up)
    - ``mask``: which joints exist, (N, T, V) or (N, T, V, M). Without it, a joint with a NaN does not exist, nor does
      a person whose joints are all exactly 0 in a frame
    - ``names``: a unique name per clip; ``title``: the name of the data in tables

    Raises ``DataError``, which names the clip and the remedy, if a value is invalid or the unit cannot be right.
    """
    check_image_size(image_size)
    check_value("fps", fps, Positive)
    arrays, layout = _separate(array)
    persons = 1 if layout == "NTVC" else int(arrays[0].shape[3])
    listed, class_names = _listed(_plain(labels, len(arrays)), classes, names)
    body = _with_channels(skeleton_of(skeleton), arrays[0].shape[2 if layout == "NTVC" else 0])

    def raw(place: int) -> RawClip:
        own = None if mask is None else np.asarray(mask[place])
        where = f"clip {listed[place].name}"
        return to_raw(arrays[place], body, unit=unit, image_size=image_size, mask=own, num_persons=persons, where=where)

    data = Memory(
        body=body,
        arrays=tuple(raw(place) for place in range(len(arrays))),
        listed=listed,
        names_of_classes=class_names,
        title=title,
        recorded_fps=float(fps),
        coordinates=unit_in_space(unit),
        num_persons=persons,
        image_size=image_size,
    )
    nan = any(bool(np.isnan(one).any()) for one in arrays if one.dtype.kind == "f")
    return _in_memory(data, unit, layout, nan)


def _in_memory(data: Memory, unit: ArrayUnit, layout: Layout, nan: bool) -> Clips:
    return Clips(
        dataset=data,
        prepared=Generated(data),
        numbers=tuple(range(len(data.arrays))),
        unit=unit,
        image_size=data.image_size,
        layout=layout,
        persons=data.num_persons,
        nan=nan,
        lengths=tuple(len(raw.frames) for raw in data.arrays),
    )


def load_clips(
    dataset: str,
    root: str | Path | None = None,
    *,
    limit: int | None = None,
    cache_dir: str | Path | None = None,
    overrides: Sequence[str] = (),
    **settings: Any,
) -> Clips:
    """Test clips of a dataset (``sa.list("datasets")``), with the names and numbers that the command line uses.

    - ``root``: the folder with the files of the dataset; generated datasets need none
    - ``limit``: the first n clips of the fixed order, a fair sample; None: all
    - ``settings``: settings of the dataset, such as ``num_actions=10``; the victim sets the number of frames
    - ``cache_dir``: the folder of the prepared clips (``outputs/prepared`` by default)

    Raises ``DataError``, which names the file, if a file is missing or broken.
    """
    if "num_frames" in settings:
        raise SettingError("num_frames is the victim's: set it in sa.load_victim or sa.Victim")
    check_words(overrides)
    check_value("limit", limit, Count | None)
    words = [word("dataset", dataset), *words_of("dataset.", settings), *overrides]
    files = words_of("dataset.", given(root=root)) + words_of("runtime.", given(cache_dir=cache_dir))
    places = files + words_of("runtime.", given(limit=limit))
    job = job_of(["task=prepare", *words, *files], tasks.find)
    prepared = prepared_clips(job)
    order = test_clips(job, prepared)[:limit]
    numbers = tuple(sorted(order))
    return Clips(
        dataset=job.dataset,
        prepared=prepared,
        numbers=numbers,
        limit=limit,
        words=tuple(words),
        places=tuple(places),
        unit=job.dataset.unit,
        persons=job.dataset.num_persons,
        lengths=tuple(len(prepared.raw(number).frames) for number in numbers),
    )


def _separate(array: np.ndarray | Sequence[np.ndarray]) -> tuple[list[np.ndarray], Layout]:
    """The clips one by one, and their layout."""
    if not hasattr(array, "__len__") or isinstance(array, str | bytes | dict):
        raise DataError(f"clips are of type {type(array).__name__}: give an array (N, T, V, C) or a list of clips")
    if hasattr(array, "detach"):
        array = array.detach().cpu().numpy()
    arrays = [np.asarray(one.detach().cpu() if hasattr(one, "detach") else one) for one in array]
    dims = {one.ndim for one in arrays}
    if dims == {3}:
        return arrays, "NTVC"
    if dims == {4} and len({one.shape[3] for one in arrays}) == 1:
        return arrays, "NCTVM"
    shape = getattr(array, "shape", [one.shape for one in arrays[:3]])
    hint = ": for a single clip, give array[None]" if dims == {2} else ""
    raise DataError(f"clips must be (N, T, V, C) or (N, C, T, V, M), or a list of clips; got {tuple(shape)}{hint}")


def _plain(labels: Any, count: int) -> list[Any]:
    """The labels as a list of Python values; raises ``DataError`` unless there is one per clip."""
    if not hasattr(labels, "__len__") or isinstance(labels, str):
        raise DataError(f"labels={labels!r} must contain one class per clip, as a number from 0 or a name")
    if len(labels) != count:
        raise DataError(f"there are {count} clips but {len(labels)} labels: give one label per clip")
    if getattr(labels, "ndim", 1) != 1:
        raise DataError(
            f"labels has shape {tuple(labels.shape)}: give one number per clip, such as labels.argmax(axis=1)"
        )
    return [getattr(label, "item", lambda label=label: label)() for label in labels]


def _listed(
    labels: list[Any], classes: Sequence[str] | None, names: Sequence[str] | None
) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The clips by name and label, and the names of the classes."""
    values = labels
    known = tuple(map(str, classes)) if classes is not None else None
    if all(isinstance(value, str) for value in values):
        known = known or tuple(sorted({*values}))
        unknown = [value for value in values if value not in known]
        if unknown:
            raise DataError(f"label {unknown[0]!r} is not among classes={list(known)}")
        values = [known.index(value) for value in values]
    wrong = [value for value in values if isinstance(value, bool) or not isinstance(value, int) or value < 0]
    if wrong:
        raise DataError(f"label {wrong[0]!r} is neither a class name nor a whole number from 0")
    known = known or tuple(str(number) for number in range(max(2, *(value + 1 for value in values))))
    if max(values, default=0) >= len(known):
        raise DataError(f"label {max(values)} has no name: classes has {len(known)} entries, numbered from 0")
    width = len(str(len(values)))
    names = [str(name) for name in names] if names is not None else [f"{n:0{width}}" for n in range(len(values))]
    if len({*names}) != len(values):
        raise DataError(f"names has {len({*names})} different entries for {len(values)} clips: give each a unique name")
    return tuple(Clip(name, label, "test") for name, label in zip(names, values, strict=True)), known


def _with_channels(skeleton: Skeleton, channels: int) -> Skeleton:
    """The skeleton without its score, for arrays that have coordinates only."""
    scored = skeleton.channels > len(skeleton.coords)
    return skeleton.without_score() if scored and channels == len(skeleton.coords) else skeleton


def _check_skeleton(skeleton: Skeleton, victim: Victim) -> None:
    ours, theirs = (
        f"{s.name} ({s.num_joints} joints, {len(s.coords)} coordinates)" for s in (skeleton, victim.skeleton)
    )
    pair = (skeleton, victim.skeleton)
    if len({s.joints for s in pair}) > 1 or len({len(s.coords) for s in pair}) > 1:
        raise SettingError(f"{victim.name} expects the skeleton {theirs}, but the clips have {ours}: use matching ones")


def _class_names(data: Memory, victim: Victim, largest: int) -> tuple[str, ...]:
    """The names of the victim's classes: the clips' own where they name all of them."""
    if largest >= victim.num_classes:
        raise SettingError(
            f"the clips have label {largest}, but {victim.name} has classes 0 to {victim.num_classes - 1}"
        )
    named = not all(name.isdigit() for name in data.names_of_classes)
    theirs = not all(name.isdigit() for name in victim.classes)
    if (
        named
        and theirs
        and data.names_of_classes != victim.classes
        and len(data.names_of_classes) == victim.num_classes
    ):
        place = next(
            n for n, pair in enumerate(zip(data.names_of_classes, victim.classes, strict=True)) if len({*pair}) > 1
        )
        raise SettingError(
            f"class {place} is {data.names_of_classes[place]!r} for the clips, but {victim.classes[place]!r} for "
            f"{victim.name}: give both the same classes=[...], in the order of the logits"
        )
    if named and len(data.names_of_classes) != victim.num_classes:
        raise SettingError(
            f"the clips name {len(data.names_of_classes)} classes, but {victim.name} has {victim.num_classes}: give "
            "all of them as classes=[...], in the order of its logits"
        )
    return data.names_of_classes if named else tuple(victim.classes)


def _span(lengths: Sequence[int]) -> str:
    low, high = min(lengths), max(lengths)
    return str(low) if low == high else f"{low} to {high}"
