"""Folders of made-up clips as users have them."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from conftest import make_batch

from skeleton_adv.core.skeleton import KINECT20, Skeleton

SHEET = "like: kinect20\nunit: m\nfps: 30\n"


def motion(frames: int = 12, seed: int = 0, skeleton: Skeleton = KINECT20, persons: int = 1) -> np.ndarray:
    """(C, T, V, M) metres."""
    return make_batch(2, frames, persons, skeleton, seed=seed).x[1].numpy()


def write_csv(path: Path, clip: np.ndarray, joints: Sequence[str] | None = None, first: int = 0) -> None:
    """A clip (C, T, V, M) as a table; joints with a NaN are left out."""
    axes = ["x", "y", "z"][: len(clip)]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["frame", "person", "joint", *axes])
        for frame, person, joint in np.ndindex(clip.shape[1], clip.shape[3], clip.shape[2]):
            values = clip[:, frame, joint, person]
            if not np.isnan(values).any():
                named = joint if joints is None else joints[joint]
                table.writerow([frame + first, person + 1, named, *map(repr, map(float, values))])


def write_folder(
    folder: Path, labels: str, clips: Mapping[str, np.ndarray], sheet: str = SHEET, classes: str | None = None
) -> Path:
    """A folder of ``.npy`` clips, with its lists."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, clip in clips.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", clip)
    (folder / "labels.csv").write_text(labels)
    (folder / "skeleton.yaml").write_text(sheet)
    if classes is not None:
        (folder / "classes.txt").write_text(classes)
    return folder


def small(folder: Path) -> Path:
    """Four clips of two actions by two subjects; one of each action tests."""
    labels = "file,label,subject,split\n" + "".join(
        f"{split}/{label}_{subject}.npy,{label},{subject},{split}\n"
        for subject, split in (("s1", "train"), ("s2", "test"))
        for label in ("kick", "wave")
    )
    names = [
        f"{split}/{label}_{subject}"
        for subject, split in (("s1", "train"), ("s2", "test"))
        for label in ("kick", "wave")
    ]
    return write_folder(folder, labels, {name: motion(20 + 5 * n, n) for n, name in enumerate(names)})
