"""Files and stores with seeded random changes: each is read correctly or refused in one line."""

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from damage import changed
from motion_files import write_dbcsp
from small_sets import acclaim_set, mat_set, openpose_set, skeleton_set

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.clips import Dataset
from skeleton_adv.data.dbcsp import DBCSP, FILE
from skeleton_adv.data.store import Prepared, Store, prepare, read_checked

CHANGES = 150  # of each kind of file


def read_all(dataset: Dataset) -> None:
    """Read every clip with a new dataset, and check that its values are finite and its types and shapes correct."""
    fresh = replace(dataset)
    for clip in fresh.clips():
        raw = read_checked(fresh, clip)
        assert np.isfinite(raw.frames).all() and raw.frames.dtype == np.float32 and 0 <= clip.label < 400


@pytest.mark.cases(1)
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
