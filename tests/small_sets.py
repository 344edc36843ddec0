"""Datasets of a few clips in every format that is read, to be damaged."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from motion_files import write_dbcsp, write_hdm05
from own_folders import small
from prepared_files import FORMATS, Clips
from scipy.io import savemat

from skeleton_adv.data.clips import Dataset, hashed_order
from skeleton_adv.data.dbcsp import DBCSP, FILE
from skeleton_adv.data.folder import Folder
from skeleton_adv.data.hdm05 import HDM05
from skeleton_adv.data.kinetics import Kinetics
from skeleton_adv.data.ntu import NTU
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics
from skeleton_adv.data.utd_mhad import UTDMHAD

Make = Callable[[Path], tuple[Dataset, list[Path]]]  # writes a dataset into a folder; its files that may be damaged


def mat_set(root: Path) -> tuple[Dataset, list[Path]]:
    paths = [root / f"a1_s{subject}_t1_skeleton.mat" for subject in (1, 2)]
    body = np.random.default_rng(0).normal(size=(20, 3, 5))
    for path, packed in zip(paths, (False, True), strict=True):
        savemat(path, {"d_skel": body}, do_compression=packed)
    return UTDMHAD(str(root)), paths


def skeleton_set(root: Path) -> tuple[Dataset, list[Path]]:
    made = SyntheticMotion()
    made.write([made.clips()[i] for i in hashed_order(made.clips(), "test")[:1]], root)
    (path,) = root.iterdir()
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["4", *lines[1 : 1 + 4 * 28]]) + "\n")  # four frames of one body
    return NTU(str(root)), [path]


def openpose_set(root: Path) -> tuple[Dataset, list[Path]]:
    made = SyntheticKinetics(num_actions=3)
    made.write([made.clips()[i] for i in hashed_order(made.clips(), "test")[:1]], root)
    (path,) = root.glob("*/*.json")
    listed = root / "kinetics_val_label.json"
    listed.write_text(json.dumps({path.stem: {"has_skeleton": True, "label": "drink", "label_index": 0}}))
    (root / "kinetics_train_label.json").unlink()
    return Kinetics(str(root)), [path, listed]


def acclaim_set(root: Path) -> tuple[Dataset, list[Path]]:
    """One clip of one actor: the motion and the body."""
    write_hdm05(root, ["walk"], ["bd"], frames=6)
    return HDM05(str(root)), [root / "HDM_bd_walk_001_120.amc", root / "HDM_bd.asf"]


@cache
def recorded(image: bool) -> Clips:
    """One training clip and two test clips of few frames."""
    made: Dataset = SyntheticKinetics() if image else SyntheticMotion()
    names = ("S001C002P001R001A001", "S001C001P003R001A050", "S001C002P003R001A001")
    clips = {clip.name: clip for clip in made.clips() if clip.name in names}
    return [(clips[name], made.read(clips[name])) for name in names]


def folder_set(root: Path) -> tuple[Dataset, list[Path]]:
    """A user's own clips with their lists."""
    small(root)
    return Folder(str(root)), [*sorted(root.rglob("*.npy"))[:2], root / "labels.csv", root / "skeleton.yaml"]


def dbcsp_set(root: Path) -> tuple[Dataset, list[Path]]:
    return DBCSP(str(write_dbcsp(root, per_class=1))), [root / FILE]


def prepared_set(kind: str) -> Make:
    """A prepared file of another project."""

    def make(root: Path) -> tuple[Dataset, list[Path]]:
        form = FORMATS[kind]
        return form.write(recorded(form.image), root), [root / form.file]

    return make


MAKERS: dict[str, Make] = {
    "UTD-MHAD": mat_set,
    "NTU": skeleton_set,
    "Kinetics": openpose_set,
    "HDM05": acclaim_set,
    "DB-CSP": dbcsp_set,
    "own clips": folder_set,
    **{f"prepared: {kind}": prepared_set(kind) for kind in FORMATS if kind != "h5"},
}
