"""Two-dimensional poses in the pickles of pyskl: ``ntu60_hrnet.pkl``, ``gym_hrnet.pkl``, ``k400_hrnet.pkl``, ..."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import COCO17
from skeleton_adv.data.annotations import Annotation, one_by_one, read_annotations
from skeleton_adv.data.dataset import Clip, Dataset, RawClip, Space
from skeleton_adv.data.naming import own_name
from skeleton_adv.data.ntu_pyskl import SPLITS
from skeleton_adv.data.pickles import read_pickle
from skeleton_adv.data.prepared import PreparedNTU, checked, class_names, last_frame, the_file

MOST_PERSONS = 10  # of a clip whose detections are listed one by one, as in pyskl


@dataclass(frozen=True)
class HRNet(Dataset):
    """Poses that HRNet found in videos, as pyskl (kennymckormick/pyskl, arXiv 2205.09443) distributes them.

    Diving, gymnastics, UCF-101, HMDB-51, Kinetics-400 and others: 17 COCO joints with scores. The channels are x and y
    as fractions of the image, from its middle, y up, and the score; a joint with score 0 does not exist.

    - ``root``: the file; its name is the dataset's name;
    - ``train_split``, ``test_split``: lists of clips in the file, such as ``train1`` and ``test1``;
    - ``num_actions``: the number of classes, from the first;
    - ``class_names``: a file with the names of the classes, one per line; without it they are ``class_0``, ...;
    - ``min_score``: for files that list detections (Kinetics-400), the smallest score of a person's box;
    - ``squeeze``: for these files, whether frames without a person are left out, as by default in pyskl.

    Of more than ``num_persons`` bodies, the first are kept, as in pyskl. Detections are in the files ``raw_file``
    beside ``root`` or in its folder ``kpfiles``. Raises ``DataError`` naming the file and the annotation.
    """

    classes_in_files = True

    root: str
    train_split: str = "train"
    test_split: str = "val"
    num_actions: Annotated[int, Range("[2, 1000]")] = 400
    class_names: str | None = None
    min_score: Annotated[float, Range("[0, 1]")] = 0.0
    squeeze: bool = True
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 6]")] = 2

    skeleton = COCO17
    unit = "image"
    spaces: ClassVar[tuple[Space, ...]] = ("camera",)

    @property
    def name(self) -> str:
        return own_name(f"{Path(self.root).stem}_{self.test_split}")

    @property
    def all_classes(self) -> tuple[str, ...]:
        return class_names(self.class_names, self.num_actions)

    @property
    def splitting(self) -> str:
        return "choose other lists of the file with dataset.train_split and dataset.test_split"

    def sources(self) -> tuple[Path, ...]:
        file = the_file(self.root, "hmdb51_hrnet.pkl")
        return (file, *sorted((file.parent / "kpfiles").glob("*.pkl")))  # with the detections of Kinetics-400

    def clips(self) -> tuple[Clip, ...]:
        return tuple(one.clip for one in self._found.values() if one.clip.label < self.num_actions)

    def one_pass(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError]:
        return one_by_one(self, clips, ("_found", "_detections"))

    def read(self, clip: Clip) -> RawClip:
        found = self._found[clip.name]
        if "keypoint" in found.content:
            return in_image(found, self.num_persons)
        path = _beside(Path(self.root).expanduser(), found)
        if path not in self._detections:
            self._detections.clear()  # one file at a time
            self._detections[path] = read_pickle(path)
        found = with_keypoints(found, self._detections[path], path, self.min_score, self.squeeze)
        return in_image(found, self.num_persons)

    @cached_property
    def _found(self) -> dict[str, Annotation]:
        return read_annotations(self.sources()[0], {"train": self.train_split, "test": self.test_split}, 1000)

    @cached_property
    def _detections(self) -> dict[Path, Any]:
        return {}


@dataclass(frozen=True)
class NTUHRNet(PreparedNTU):
    """Poses that HRNet found in the videos of NTU RGB+D: pyskl's ``ntu60_hrnet.pkl`` and ``ntu120_hrnet.pkl``.

    As ``HRNet``, with the splits, names and classes of NTU RGB+D. The published numbers of the paper
    are for joints in space, so none appears beside these. Raises ``DataError`` naming the file and annotation.
    """

    form = "hrnet"
    skeleton = COCO17
    unit = "image"
    stands_for = None
    stand_in = False
    spaces: ClassVar[tuple[Space, ...]] = ("camera",)

    def sources(self) -> tuple[Path, ...]:
        return (the_file(self.root, "ntu60_hrnet.pkl"),)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(
            self.official(one.clip, one.where) for one in self._found.values() if one.clip.label < self.num_actions
        )

    def one_pass(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError]:
        return one_by_one(self, clips, ("_found",))

    def read(self, clip: Clip) -> RawClip:
        return in_image(self._found[clip.name], self.num_persons)

    @cached_property
    def _found(self) -> dict[str, Annotation]:
        return read_annotations(self.sources()[0], SPLITS[self.protocol], len(self.all_classes))


def in_image(found: Annotation, num_persons: int) -> RawClip:
    """The clip of an annotation's pixels and scores; raises ``DataError`` naming the annotation."""
    keypoints = found.array("keypoint", (None, found.count("total_frames"), 17, 2))
    scores = found.array("keypoint_score", keypoints.shape[:3])
    size = found.content.get("img_shape")
    sides = size if isinstance(size, tuple | list) and len(size) == 2 else (0, 0)
    if not all(isinstance(side, int | np.integer) and side >= 1 for side in sides):
        raise DataError(f"{found.where}: img_shape is {size!r:.40}, not the height and width in pixels")
    height, width = map(int, sides)
    place = keypoints.astype(np.float32)
    values = np.stack([place[..., 0] / width - 0.5, 0.5 - place[..., 1] / height, scores.astype(np.float32)])
    frames = checked(values.transpose(2, 0, 3, 1), "image", found.where)[..., :num_persons]  # (T, 3, V, M)
    exists: np.ndarray = frames[:, 2] > 0
    last_frame(exists, found.where)
    return RawClip(np.where(exists[:, None], frames, np.float32(0)), exists).padded(num_persons)


def with_keypoints(found: Annotation, detections: Any, path: Path, min_score: float, squeeze: bool) -> Annotation:
    """The annotation with the keypoints that ``path`` lists for it; raises ``DataError`` if they do not fit."""
    own = detections.get(found.clip.name) if isinstance(detections, dict) else None
    if not isinstance(own, dict):
        raise DataError(f"{path}: has no dict of the keypoints of {found.clip.name}, which {found.where} names")
    keypoints = Annotation(found.clip, own, f"{path}: {found.clip.name}").array("keypoint", (None, 17, 3))
    count = len(keypoints)
    frames, scores = found.array("frame_inds", (count,)), found.array("box_score", (count,))
    if frames.dtype.kind == "f" or not (frames.min() >= 0 and frames.max() < found.count("total_frames")):
        raise DataError(f"{found.where}: frame_inds contains a number that is no frame of the clip")
    kept = scores >= min_score
    if not kept.any():
        raise DataError(f"{found.where}: no box has a score of {min_score:g} or more: set a lower dataset.min_score")
    frames, total = frames[kept], found.count("total_frames")
    if squeeze:
        frames, total = np.unique(frames, return_inverse=True)[1], len(np.unique(frames))
    persons = by_person(keypoints[kept], frames, MOST_PERSONS, total)
    content = {"keypoint": persons[..., :2], "keypoint_score": persons[..., 2], "total_frames": persons.shape[1]}
    return replace(found, content={**found.content, **content})


def by_person(keypoints: np.ndarray, frames: np.ndarray, most: int, total: int) -> np.ndarray:
    """Detections (n, V, 3) in ``frames`` (n,) of ``total`` as persons (M, total, V, 3): pyskl's ``DecompressPose``.

    The k-th detection of a frame is person k. If a frame has more than ``most``, the persons of every frame
    are sorted by the sum of their scores, the highest first, and the first ``most`` are kept.
    """
    order = np.argsort(frames, kind="stable")
    starts = np.searchsorted(frames[order], frames[order])  # of the frame of each detection
    persons = np.empty_like(frames)
    persons[order] = np.arange(len(frames)) - starts
    placed = np.zeros((int(persons.max()) + 1, total, *keypoints.shape[1:]), keypoints.dtype)
    placed[persons, frames] = keypoints
    if len(placed) > most:
        surest = np.argsort(-placed[..., 2].sum(axis=-1, dtype=np.float64), axis=0, kind="stable")
        placed = np.take_along_axis(placed, surest[..., None, None], axis=0)[:most]
    return placed


def _beside(root: Path, found: Annotation) -> Path:
    """The file of the detections of a clip; raises ``DataError`` if the annotation names none that exists."""
    named = found.content.get("raw_file")
    if not isinstance(named, str):
        raise DataError(f"{found.where}: has neither keypoint nor raw_file, the file of its keypoints")
    last = Path(named).name
    path = next((one for one in (root.parent / last, root.parent / "kpfiles" / last) if one.is_file()), None)
    if path is None:
        raise DataError(f"{found.where}: its keypoints are in {last}: put this file into {root.parent / 'kpfiles'}")
    return path
