"""Kinetics-skeleton: folders of OpenPose JSON files, each with a label JSON beside it."""

import json
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.files import write_whole
from skeleton_adv.core.ranges import Range
from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, RawClip, Split

LISTED_BODIES = 5  # the public pipeline reads the first five bodies of a frame
MOST_FRAMES = 3000  # clips last ten seconds; a larger index means a damaged file
SPLITS: dict[str, Split] = {"kinetics_train": "train", "kinetics_val": "test"}


@dataclass(frozen=True)
class Kinetics(Dataset):
    """Kinetics-skeleton of ST-GCN (Yan et al., arXiv 1801.07455): 260,000 clips, 400 actions, 18 joints.

    ``root`` contains the folders ``kinetics_train`` and ``kinetics_val``, with one JSON file per clip, and beside
    each folder its ``..._label.json``. The channels are x and y as fractions of the image, from its middle, y up,
    and the detector's score. As in 2s-AGCN's pipeline, the first five bodies of a frame are read, and the
    ``num_persons`` bodies with the highest sum of scores are kept. This choice is made frame by frame, so
    persons may swap places. A joint with score 0 does not exist. The label of a clip is its ``label_index``.
    A part of the dataset, whose indices have gaps, still has ``num_actions`` classes, so that
    weights of the whole dataset fit; classes without a clip are named ``class_<index>``. Raises
    ``DataError`` naming the file and the frame.
    """

    root: str
    num_actions: Annotated[int, Range("[2, 400]")] = 400
    _: KW_ONLY
    num_persons: Annotated[int, Range("[1, 5]")] = 2

    name = "kinetics"
    skeleton = OPENPOSE18
    unit = "image"
    stands_for = "Kinetics"

    @property
    def all_classes(self) -> tuple[str, ...]:
        names = self._listed[0]
        whole = len(names) > 1 and max(names) == len(names) - 1
        return tuple(names.get(label, f"class_{label}") for label in range(len(names) if whole else self.num_actions))

    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for clip in self._listed[1] if clip.label < self.num_actions)

    def path(self, clip: Clip) -> Path:
        folder = next(folder for folder, split in SPLITS.items() if split == clip.split)
        return Path(self.root).expanduser() / folder / f"{clip.name}.json"

    def read(self, clip: Clip) -> RawClip:
        return keep_surest(read_openpose_file(self.path(clip)), self.num_persons)

    @cached_property
    def _listed(self) -> tuple[dict[int, str], tuple[Clip, ...]]:
        """The label names in the label files, and all clips that have a skeleton."""
        paths = {path: SPLITS[folder] for folder in SPLITS if (path := self._label_file(folder)).is_file()}
        if not paths:
            raise DataError(
                f"dataset.root={self.root} contains neither kinetics_train_label.json nor kinetics_val_label.json: "
                "put Kinetics-skeleton's folders and label files there, or set dataset.root=... to their folder"
            )
        names: dict[int, str] = {}
        clips: dict[str, Clip] = {}
        for path, split in paths.items():
            for name, facts in _labels(path).items():
                label = facts["label_index"]
                if names.setdefault(label, facts["label"]) != facts["label"]:
                    raise DataError(f"{path}: label_index {label} is {names[label]!r} and also {facts['label']!r}")
                if name in clips:
                    raise DataError(f"{path}: {name} is also listed as a {clips[name].split} clip")
                if facts["has_skeleton"]:
                    clips[name] = Clip(name, label, split)
        return names, tuple(clips.values())

    def _label_file(self, folder: str) -> Path:
        return Path(self.root).expanduser() / f"{folder}_label.json"


def _labels(path: Path) -> dict[str, dict[str, Any]]:
    """The content of a label JSON: clip -> has_skeleton, label, label_index.

    Raises ``DataError`` naming the first entry that is wrong.
    """
    content = _json(path)
    if not isinstance(content, dict) or not content:
        raise DataError(f"{path}: must be an object with one entry per clip")
    for name, facts in content.items():
        kinds = {"has_skeleton": bool, "label": str, "label_index": int}
        if not isinstance(facts, dict) or any(type(facts.get(key)) is not kind for key, kind in kinds.items()):
            raise DataError(
                f"{path}: entry {name!r} must contain has_skeleton, label and label_index, but is {facts!r:.80}"
            )
        if not 0 <= facts["label_index"] < 400 or "/" in name or not name.isprintable():
            raise DataError(
                f"{path}: entry {name!r} has label_index {facts['label_index']}, not 0 to 399, or a bad name"
            )
    return content


def read_openpose_file(path: Path) -> np.ndarray:
    """The bodies in one file, (F, 5, 18, 3): x and y as fractions of the image, y down, and score; absent bodies are 0.

    The ``frame_index`` of a frame is its position; frames that the file does not list are empty.
    """
    content = _json(path)
    frames = content.get("data") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise DataError(f"{path}: contains no list of frames, 'data'")
    places = []
    for number, frame in enumerate(frames, start=1):
        place = frame.get("frame_index") if isinstance(frame, dict) else None
        if type(place) is not int or not 0 <= place < MOST_FRAMES or not isinstance(frame.get("skeleton"), list):
            raise DataError(
                f"{path}: frame {number} of {len(frames)} lacks a usable frame_index or skeleton: {frame!r:.60}"
            )
        places.append(place)
    if len(set(places)) < len(places):
        raise DataError(f"{path}: two frames have the same frame_index")
    if max(places) < 1:
        raise DataError(f"{path}: contains only one frame")
    bodies = np.zeros((max(places) + 1, LISTED_BODIES, OPENPOSE18.num_joints, 3))
    for place, frame in zip(places, frames, strict=True):
        for body, listed in enumerate(frame["skeleton"][:LISTED_BODIES]):
            bodies[place, body] = _body(listed, f"{path}: frame_index {place}, body {body + 1}")
    if not (bodies[..., 2] > 0).any():
        raise DataError(f"{path}: no joint has a score above 0 in any frame")
    return bodies


def _body(listed: Any, where: str) -> np.ndarray:
    """(18, 3) x, y and score of the joints of one body."""
    columns = []
    for key, size in (("pose", 2 * OPENPOSE18.num_joints), ("score", OPENPOSE18.num_joints)):
        values = listed.get(key) if isinstance(listed, dict) else None
        if not isinstance(values, list) or len(values) != size:
            found = len(values) if isinstance(values, list) else "no"
            raise DataError(f"{where}: {found} numbers in {key}, not {size}")
        if any(type(value) not in (int, float) for value in values):
            raise DataError(f"{where}: {key} contains a value that is not a number")
        if not all(abs(value) < LARGEST["image"] for value in values):
            raise DataError(f"{where}: {key} contains a value that is not finite or is far outside the image")
        column = np.array(values, dtype=np.float64)
        columns.append(column.reshape(OPENPOSE18.num_joints, -1))
    return np.concatenate(columns, axis=1)


def keep_surest(bodies: np.ndarray, num_persons: int) -> RawClip:
    """The ``num_persons`` bodies of each frame with the highest sum of scores, in the order of the public pipeline.

    ``bodies`` (F, P, 18, 3) are as ``read_openpose_file`` returns them. Joints with score 0 are 0 and do not exist.
    """
    order = np.argsort(-bodies[..., 2].sum(axis=2), axis=1, kind="stable")[:, :num_persons]
    kept = np.take_along_axis(bodies, order[:, :, None, None], axis=1)
    exists = kept[..., 2] > 0
    kept = kept * (1, -1, 1) + (-0.5, 0.5, 0)  # from the image's middle, y up
    kept[~exists] = 0
    frames = np.ascontiguousarray(kept.transpose(0, 3, 2, 1), dtype=np.float32)
    return RawClip(frames, exists.transpose(0, 2, 1)).padded(num_persons)


def write_labels(folder: Path, listed: Sequence[Clip], written: Sequence[Clip], classes: Sequence[str]) -> None:
    """Write the label JSON of each split with the clips that are ``listed``; those ``written`` have a skeleton."""
    names = {clip.name for clip in written}
    for name, split in SPLITS.items():
        labels = {
            clip.name: {"has_skeleton": clip.name in names, "label": classes[clip.label], "label_index": clip.label}
            for clip in listed
            if clip.split == split
        }
        write_whole(folder / f"{name}_label.json", json.dumps(labels))


def write_openpose_file(path: Path, bodies: np.ndarray, clip: Clip, label: str) -> None:
    """Write bodies (F, P, 18, 3), as ``read_openpose_file`` returns them, in the format of Kinetics-skeleton."""
    data = [
        {
            "frame_index": place,
            "skeleton": [
                {"pose": [round(v, 3) for v in body[:, :2].ravel().tolist()], "score": body[:, 2].round(3).tolist()}
                for body in frame
                if body[:, 2].any()
            ],
        }
        for place, frame in enumerate(bodies)
    ]
    path.write_text(json.dumps({"data": data, "label": label, "label_index": clip.label}))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path}: not a readable text file ({error})") from None
