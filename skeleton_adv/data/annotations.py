"""The pickles of pyskl: lists of clips by split, and one annotation per clip."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.data.dataset import Clip, Dataset, RawClip, Split
from skeleton_adv.data.pickles import read_pickle
from skeleton_adv.data.prepared import check_label, check_name


@dataclass(frozen=True)
class Annotation:
    """The content of one clip, and its name in messages."""

    clip: Clip
    content: Mapping[str, Any]
    where: str

    def array(self, key: str, shape: Sequence[int | None]) -> np.ndarray:
        """An array of real numbers; raises ``DataError`` unless it has this shape; None is any length."""
        found = self.content.get(key)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            raise DataError(f"{self.where}: {key} is {type(found).__name__}, not an array of numbers")
        fits = len(found.shape) == len(shape) and all(w in (None, f) for w, f in zip(shape, found.shape, strict=True))
        if not fits or 0 in found.shape:
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise DataError(f"{self.where}: {key} has the shape {found.shape}, not ({wanted})")
        return found

    def count(self, key: str) -> int:
        """A whole number above 0; raises ``DataError`` for anything else."""
        found = self.content.get(key)
        if not isinstance(found, int | np.integer) or isinstance(found, bool) or found < 1:
            raise DataError(f"{self.where}: {key} is {found!r:.40}, not a whole number above 0")
        return int(found)


def one_by_one(dataset: Dataset, clips: Sequence[Clip], loaded: Sequence[str]) -> Iterator[RawClip | DataError]:
    """These clips or their errors, from a file that is loaded whole; the cached values ``loaded`` are released last."""
    try:
        for clip in clips:
            try:
                yield dataset.read(clip)
            except DataError as error:
                yield error
    finally:
        for name in loaded:
            vars(dataset).pop(name, None)


def read_annotations(path: Path, splits: Mapping[Split, str], num_classes: int) -> dict[str, Annotation]:
    """The annotations of a pickle by the name of their clip, in the file's order.

    ``splits`` are the names of the file's lists of training clips and of test clips. As in pyskl, an annotation in
    neither list is left out. Raises ``DataError`` naming the file and the annotation.
    """
    content = read_pickle(path)
    listed = content.get("split") if isinstance(content, dict) else None
    entries = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(listed, dict) or not isinstance(entries, list):
        raise DataError(f"{path}: must be a dict of 'split' and 'annotations', as in pyskl")
    halves = {split: _names(path, listed, name) for split, name in splits.items()}
    both = halves["train"] & halves["test"]
    if both:
        raise DataError(f"{path}: {min(both)} is in {splits['train']} and also in {splits['test']}")
    found: dict[str, Annotation] = {}
    for one in _annotations(path, entries, halves, num_classes):
        if one.clip.name in found:
            raise DataError(f"{one.where}: the clip {one.clip.name} is in an earlier annotation too")
        found[one.clip.name] = one
    if not found:
        raise DataError(f"{path}: no annotation is in {splits['train']} or {splits['test']}")
    return found


def _annotations(
    path: Path, entries: list[Any], halves: Mapping[Split, frozenset[str]], num_classes: int
) -> Iterator[Annotation]:
    for number, entry in enumerate(entries):
        where = f"{path}: annotation {number}"
        if not isinstance(entry, dict):
            raise DataError(f"{where} is a {type(entry).__name__}, not a dict")
        name = check_name(entry.get("frame_dir", entry.get("filename")), where)
        split = next((split for split, names in halves.items() if name in names), None)
        if split is not None:
            label = check_label(entry.get("label"), num_classes, f"{where} ({name})")
            yield Annotation(Clip(name, label, split), entry, f"{where} ({name})")


def _names(path: Path, listed: Mapping[Any, Any], name: str) -> frozenset[str]:
    names = listed.get(name)
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        raise DataError(
            f"{path}: contains no list of clips {name!r}: {nearest(name, [str(one)[:30] for one in listed])}"
        )
    return frozenset(names)
