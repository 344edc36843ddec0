"""dbcsp: folds that are balanced and cover every clip once, the image space, and every mistake in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motion_files import write_dbcsp

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.dbcsp import CLASSES, DBCSP, FILE, FOLDS, IMAGE_SIZE, folds
from skeleton_adv.data.store import read_checked


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_folds_cut_each_class_into_five_equal_parts(labels: list[int]) -> None:
    found = folds(np.array(labels))
    for label in set(labels):
        parts = found[np.array(labels) == label]
        sizes = np.bincount(parts, minlength=FOLDS)
        assert sizes.max() - sizes.min() <= 1 and (np.diff(parts) >= 0).all() and len(sizes) == FOLDS


def test_every_clip_tests_in_one_fold(tmp_path: Path) -> None:
    sets = [DBCSP(str(write_dbcsp(tmp_path)), fold=fold) for fold in range(FOLDS)]
    tests = [clip.name for one in sets for clip in one.clips() if clip.split == "test"]
    assert sorted(tests) == [clip.name for clip in sets[0].clips()] and len(tests) == 36
    assert [one.name for one in sets] == ["dbcsp_ar", *(f"dbcsp_ar_fold{fold}" for fold in range(1, FOLDS))]
    assert len({one.fingerprint() for one in sets}) == FOLDS
    assert all({clip.label for clip in one.clips() if clip.split == "test"} == {*range(6)} for one in sets)


def test_pixels_become_fractions_of_the_image(tmp_path: Path) -> None:
    dataset = DBCSP(str(write_dbcsp(tmp_path)), num_persons=2)
    clip = dataset.clips()[7]
    raw = read_checked(dataset, clip)
    data = np.load(tmp_path / FILE)["data"][7].astype(np.float64)  # (F, V, 2)
    expected = (data / IMAGE_SIZE - 0.5) * (1, -1)
    assert raw.frames.shape == (92, 2, 25, 2) and raw.exists[..., 0].all() and not raw.exists[..., 1].any()
    np.testing.assert_allclose(raw.frames[..., 0], expected.transpose(0, 2, 1), atol=1e-6)
    assert clip.label == np.load(tmp_path / FILE)["label"][7]


def changed(folder: Path, **arrays: Any) -> DBCSP:
    """The dataset with other arrays; None removes one."""
    held = dict(np.load(write_dbcsp(folder) / FILE)) | arrays
    np.savez(folder / FILE, **{name: array for name, array in held.items() if array is not None})
    return DBCSP(str(folder))


LABELS = np.repeat(np.arange(6), 6)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"data": None}, "contains no array data"),
        ({"data": np.zeros((36, 92, 18, 2), np.float32)}, r"data is float32 \(36, 92, 18, 2\)"),
        ({"data": np.zeros((36, 92, 25, 2), np.int64)}, "data is int64"),
        ({"data": np.array([{}])}, "data: not a readable .*Python objects"),
        ({"label": LABELS[:-1]}, r"label is int64 \(35,\)"),
        ({"label": LABELS - 1}, r"label\[0\] is -1"),
        ({"label": LABELS / 2}, "label is float64"),
        ({"class_names": np.array(CLASSES[::-1])}, "class_names"),
    ],
)
def test_a_wrong_array_is_named(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words) as caught:
        changed(tmp_path, **arrays).clips()
    assert str(tmp_path / FILE) in str(caught.value) and "\n" not in str(caught.value)


def test_a_wrong_value_is_named_with_its_clip(tmp_path: Path) -> None:
    data = np.load(write_dbcsp(tmp_path) / FILE)["data"]
    data[3, 5, 2, 1] = np.nan
    dataset = changed(tmp_path, data=data)
    with pytest.raises(DataError, match=r"dbcsp_ar\.npz: data\[3\]: frame 6 "):
        dataset.read(dataset.clips()[3])
    with pytest.raises(DataError, match=r"contains no dbcsp_ar\.npz"):
        DBCSP(str(tmp_path / "none")).clips()


def test_the_published_file(shared: Path) -> None:
    dataset = DBCSP(str(shared / "datasets/dbcsp_ar"))
    counts = np.bincount([clip.label for clip in dataset.clips()])
    assert counts.tolist() == [46, 45, 45, 44, 46, 46]
    assert np.bincount([clip.label for clip in dataset.clips() if clip.split == "test"]).tolist() == [
        10,
        9,
        9,
        9,
        10,
        10,
    ]
    frames = np.stack([read_checked(dataset, clip).frames for clip in dataset.clips()])
    low, high = frames.min(axis=(0, 1, 3, 4)), frames.max(axis=(0, 1, 3, 4))
    np.testing.assert_allclose(low, -high, atol=1e-3)  # IMAGE_SIZE: as far from both borders
