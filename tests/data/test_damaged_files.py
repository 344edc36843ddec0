"""Files and stores with seeded random changes: each is read correctly or refused in one line."""

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import changed
from motion_files import write_dbcsp, write_hdm05
from scipy.io import savemat

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.clips import Dataset, hashed_order
from skeleton_adv.data.dbcsp import DBCSP, FILE
from skeleton_adv.data.hdm05 import HDM05
from skeleton_adv.data.kinetics import Kinetics
from skeleton_adv.data.ntu import NTU
from skeleton_adv.data.store import Prepared, Store, prepare, read_checked
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics
from skeleton_adv.data.utd_mhad import UTDMHAD

CHANGES = 150  # of each kind of file


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


def read_all(dataset: Dataset) -> None:
    """Read every clip with a new dataset, and check that its values are finite and its types and shapes correct."""
    fresh = replace(dataset)
    for clip in fresh.clips():
        raw = read_checked(fresh, clip)
        assert np.isfinite(raw.frames).all() and raw.frames.dtype == np.float32 and 0 <= clip.label < 400


@pytest.mark.parametrize("make", [mat_set, skeleton_set, openpose_set, acclaim_set])
def test_a_changed_file_is_read_or_refused(make: Callable[[Path], tuple[Dataset, list[Path]]], tmp_path: Path) -> None:
    dataset, paths = make(tmp_path)
    read_all(dataset)
    rng = random.Random(0)
    complaints = []
    for path in paths:
        content = path.read_bytes()
        for _ in range(CHANGES):
            path.write_bytes(changed(content, rng))
            try:
                read_all(dataset)
            except DataError as error:
                complaints.append(str(error))
        path.write_bytes(content)
    assert all(str(tmp_path) in text and "\n" not in text for text in complaints)
    assert 10 < len(complaints) < len(paths) * CHANGES - 10  # both kinds of change were tried


def test_a_changed_archive_is_as_before_or_refused(tmp_path: Path) -> None:
    """The checksums of an ``.npz`` file cover its arrays."""
    dataset = DBCSP(str(write_dbcsp(tmp_path, per_class=1)))
    path, rng, complaints = tmp_path / FILE, random.Random(0), []
    content = path.read_bytes()
    before = [dataset.read(clip).frames for clip in dataset.clips()]
    for _ in range(CHANGES):
        path.write_bytes(changed(content, rng))
        try:
            fresh = replace(dataset)
            np.testing.assert_array_equal([fresh.read(clip).frames for clip in fresh.clips()], before)
        except DataError as error:
            complaints.append(str(error))
    assert all(str(path) in text and "\n" not in text for text in complaints) and len(complaints) > CHANGES / 2


def contents(prepared: Prepared) -> list[object]:
    raws = [prepared.raw(number) for number in range(len(prepared.clips))]
    return [prepared.digest, prepared.clips, [(r.frames.tobytes(), r.exists.tobytes(), r.frames.shape) for r in raws]]


def test_a_changed_store_is_as_before_or_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    dataset, _ = mat_set(tmp_path / "set")
    good = contents(prepare(dataset, tmp_path / "cache"))
    folder = next((tmp_path / "cache").rglob("store.json")).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        *("exists.npy", "frames.npy", "store.json", "store.sha256")
    ]
    rng = random.Random(0)
    complaints = []
    for name in ("exists.npy", "frames.npy", "store.json", "store.sha256"):
        content = (folder / name).read_bytes()
        for _ in range(CHANGES):
            (folder / name).write_bytes(changed(content, rng))
            try:
                assert contents(Store(folder)) == good
            except DataError as error:
                complaints.append(str(error))
        (folder / name).write_bytes(content)
        assert contents(Store(folder)) == good
    assert all(str(folder) in text and "delete it" in text and "\n" not in text for text in complaints)
    assert len(complaints) > 3.5 * CHANGES  # the rest is padding
    shutil.rmtree(folder)
    assert contents(prepare(dataset, tmp_path / "cache")) == good
