"""Damaged files of prepared formats: each is refused in one line that names the file and the entry."""

import collections
import os
import pickle
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import changed
from prepared_files import FORMATS
from small_sets import recorded

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.dataset import Dataset
from skeleton_adv.data.ntu_npz import COUNTS
from skeleton_adv.data.pickles import read_pickle
from skeleton_adv.data.rows import npy_rows, npz_rows
from skeleton_adv.data.store import Store, prepare, read_checked

CHANGES = 60
PICKLES = {"pyskl": "ntu60_3danno.pkl", "hrnet": "ntu60_hrnet.pkl", "videos": "hmdb51_hrnet.pkl"}
LABELS = ("stgcn", "agcn", "kinetics")
ARRAYS = ("npz", "compressed", "stgcn", "agcn", "kinetics")


def made(kind: str, folder: Path) -> tuple[Dataset, Path]:
    """A dataset, and its file with test clips."""
    form = FORMATS[kind]
    return form.write(recorded(form.image), folder), folder / form.file


def read_all(dataset: Dataset) -> None:
    fresh = replace(dataset)
    clips = fresh.clips()
    for raw in fresh.one_pass(clips) or ():
        if isinstance(raw, DataError):
            raise raw
    for clip in clips:
        assert np.isfinite(read_checked(fresh, clip).frames).all()


def refused(dataset: Dataset) -> str:
    with pytest.raises(DataError) as caught:
        read_all(dataset)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.mark.cases(3)
@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"h5"}))
def test_a_changed_file_is_read_or_refused(kind: str, tmp_path: Path) -> None:
    dataset, path = made(kind, tmp_path)
    read_all(dataset)
    rng = random.Random(0)
    paths = [path] + ([tmp_path / "val_label.pkl"] if kind in LABELS else [])
    complaints = []
    for one in paths:
        content = one.read_bytes()
        for _ in range(CHANGES):
            one.write_bytes(changed(content, rng))
            try:
                read_all(dataset)
            except DataError as error:
                complaints.append(str(error))
        one.write_bytes(content)
    assert all(str(tmp_path) in text and "\n" not in text for text in complaints)
    assert len(complaints) > CHANGES / 5


@pytest.mark.cases(4)
@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_a_truncated_file_is_named(kind: str, tmp_path: Path) -> None:
    if kind == "h5":
        pytest.importorskip("h5py")
    dataset, path = made(kind, tmp_path)
    content = path.read_bytes()
    for size in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        assert str(path) in refused(dataset)
    path.unlink()
    assert path.name in refused(dataset)


def change_arrays(kind: str, path: Path, change: Callable[[np.ndarray], np.ndarray], key: str) -> None:
    if path.suffix == ".npy":
        np.save(path, change(np.load(path)))
        return
    arrays = dict(np.load(path))
    arrays[key] = change(arrays[key])
    (np.savez if kind == "npz" else np.savez_compressed)(path, **arrays)


def spoilt(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """The second test clip with this value in its tenth frame."""

    def change(array: np.ndarray) -> np.ndarray:
        array[(1, 9, 7) if array.ndim == 3 else (1, 0, 9, 7, 0)] = value
        return array

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("kind", ARRAYS)
def test_a_value_that_is_no_coordinate_is_named_and_can_be_skipped(kind: str, value: float, tmp_path: Path) -> None:
    dataset, path = made(kind, tmp_path)
    change_arrays(kind, path, spoilt(value), "x_test")
    text = refused(dataset)
    assert str(path) in text and "entry 1 of" in text and "frame 9" in text
    store = prepare(replace(dataset, on_error="skip"), tmp_path / "cache")
    assert isinstance(store, Store) and len(store.clips) == 2 and store.skipped[0].reason == text


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "an axis more": lambda array: array[..., None],
    "frames": lambda array: array[:, :-1],
    "joints": lambda array: array[..., :-1],
    "whole numbers": lambda array: array.astype(int),
    "objects": lambda array: array.astype(object),
    "Fortran order": np.asfortranarray,
    "a clip less": lambda array: array[1:],
    "no axis": lambda array: array[(0,) * array.ndim],
}


@pytest.mark.cases(10)
@pytest.mark.parametrize("what", SHAPES)
@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_of_another_shape_is_named(kind: str, what: str, tmp_path: Path) -> None:
    dataset, path = made(kind, tmp_path)
    change_arrays(kind, path, SHAPES[what], "x_test")
    assert str(path.parent) in refused(dataset)


@pytest.mark.parametrize("kind", ["npz", "compressed"])
def test_missing_arrays_and_wrong_labels_of_an_npz_file(kind: str, tmp_path: Path) -> None:
    dataset, path = made(kind, tmp_path)
    whole = path.read_bytes()
    two = np.zeros((2, 60))
    for key, change, match in (
        ("y_test", lambda y: y * 2, "y_test: entry 0 is not one 1"),
        ("y_test", lambda y: two, "y_test: entry 0 is not one 1"),
        ("y_test", lambda y: np.array([3, 60]), "entry 1 has label 60"),
        ("y_test", lambda y: np.array([3, np.nan]), "not a label per clip"),
        ("y_test", lambda y: y[:1], "1 labels in y_test for 2 clips"),
        ("x_train", lambda x: x * 0, "entry 0 of x_train: 0 frames contain a body"),
    ):
        change_arrays(kind, path, change, key)  # type: ignore[arg-type]
        assert match in refused(dataset) and str(path) in refused(dataset)
        path.write_bytes(whole)
    for key in ("x_train", "x_test", "y_train", "y_test"):
        arrays = {name: array for name, array in np.load(path).items() if name != key}
        np.savez(path, **arrays)  # type: ignore[arg-type]
        assert f"contains no array {key}" in refused(dataset)
        path.write_bytes(whole)


def test_the_file_of_another_protocol_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, path = made("compressed", tmp_path)
    monkeypatch.setitem(COUNTS, "cv", {"train": 1, "test": 2})
    assert f"{path}: has the clips of protocol cv: set dataset.protocol=cv" == refused(dataset)
    named, _ = made("stgcn", tmp_path)
    assert "val_label.pkl: entry 1: S001C002P003R001A001 is not a test clip of protocol cv" in refused(
        replace(named, protocol="cv")  # type: ignore[call-arg]
    )


class Runs:
    """An object whose pickle runs a program when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("kind", [*PICKLES, *LABELS])
def test_a_pickle_that_runs_a_program_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dataset, _ = made(kind, tmp_path)
    path = tmp_path / PICKLES.get(kind, "val_label.pkl")
    for content in (Runs(), {"split": {}, "annotations": [Runs()]}, ([Runs()], [0])):
        path.write_bytes(pickle.dumps(content))
        text = refused(dataset)
        assert str(path) in text and f"{os.system.__module__}.system" in text
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        *(b"cbuiltins\neval\n(V1\ntR.", b"cnumpy\nload\n(Va\ntR.", b"c_codecs\nencode\n(Va\nVrot13\ntR."),
        *(b"cnumpy.core.multiarray\nfromfile\n.", b"\x8c\x05numpy\x8c\x09ndarray.tofile\x93."),
        *(b"c__main__\nx\n.", b"cos\nsystem\n.", b"(i__builtin__\nexec\n.", b"\x80\x04\x82\x01."),
        pickle.dumps(collections.OrderedDict(a=1)),
        pickle.dumps({1, 2}, 2),
        # Bytes of an array as addresses, an array of objects, one with fields, and one that is too short.
        b"\x80\x02cnumpy\nndarray\nK\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00O8\x85RU\x08AAAAAAAA\x87R.",
        b"\x80\x02cnumpy\nndarray\nK\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85RU\x08AAAAAAAA\x87R.",
        pickle.dumps(np.array([[], "x"], dtype=object)),
        pickle.dumps(np.zeros(2, dtype=[("a", "O")])),
        pickle.dumps(np.arange(3.0)).replace(b"K\x03\x85", b"K\x09\x85"),
    ],
)
def test_only_arrays_and_plain_containers_are_unpickled(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(content)
    before = set(sys.modules)
    with pytest.raises(DataError, match=rf"^{tmp_path / 'a.pkl'}: [^\n]*$"):
        read_pickle(tmp_path / "a.pkl")
    assert set(sys.modules) == before


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_containers_are_unpickled(protocol: int, tmp_path: Path) -> None:
    content = {"a": [1, (2.5, None, True)], "b": b"xyz", "c": np.float32(3), "d": np.arange(6, dtype=np.float16)}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    if protocol < 3:  # there, bytes are made by another function
        content.pop("b")
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(tmp_path / "a.pkl")
    assert repr(found) == repr(content)


PYSKL: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a list": (lambda content: [], "must be a dict"),
    "no annotations": (lambda content: content.pop("annotations"), "must be a dict"),
    "no list": (lambda content: content["split"].pop("xsub_val"), "no list of clips 'xsub_val'"),
    "both": (lambda content: content["split"]["xsub_val"].append("S001C002P001R001A001"), "also in"),
    "twice": (lambda content: content["annotations"].append(content["annotations"][1]), "annotation 3 "),
    "no name": (lambda content: content["annotations"][1].pop("frame_dir"), "annotation 1: the clip's name"),
    "text": (lambda content: content["annotations"].__setitem__(1, "a"), "annotation 1 is a str"),
    "a label": (lambda content: content["annotations"][1].update(label=60), "annotation 1 (S001"),
    "another label": (lambda content: content["annotations"][1].update(label=3), "is of action 50"),
    "no keypoints": (lambda content: content["annotations"][1].pop("keypoint"), "keypoint is NoneType"),
    "frames": (lambda content: content["annotations"][1].update(total_frames=7), "keypoint has the shape"),
    "no frames": (lambda content: content["annotations"][1].update(total_frames=None), "total_frames is None"),
    "empty": (lambda content: content["annotations"][1]["keypoint"].fill(0), "0 frames contain a body"),
    "NaN": (lambda content: content["annotations"][1]["keypoint"].__setitem__((0, 5, 3, 1), np.nan), "frame 5 "),
    "objects": (
        lambda content: content["annotations"][1].update(keypoint=np.array([{}], dtype=object)),
        "not numbers or text",
    ),
}


@pytest.mark.parametrize("what", PYSKL)
def test_an_annotation_that_is_wrong_is_named(what: str, tmp_path: Path) -> None:
    dataset, path = made("pyskl", tmp_path)
    content = pickle.loads(path.read_bytes())
    change, match = PYSKL[what]
    answer = change(content)
    path.write_bytes(pickle.dumps(answer if what == "a list" else content))
    text = refused(dataset)
    assert str(path) in text and match in text


@pytest.mark.parametrize(
    ("key", "value"),
    [("img_shape", None), ("img_shape", (0, 340)), ("img_shape", (2.5, 340)), ("keypoint_score", np.zeros((1, 3, 17)))],
)
def test_a_pose_that_is_wrong_is_named(key: str, value: Any, tmp_path: Path) -> None:
    dataset, path = made("hrnet", tmp_path)
    content = pickle.loads(path.read_bytes())
    content["annotations"][2][key] = value
    path.write_bytes(pickle.dumps(content))
    text = refused(dataset)
    assert str(path) in text and "annotation 2 (S001C002P003R001A001)" in text and key in text


@pytest.mark.parametrize(
    "content",
    [
        *([], (["a.skeleton"],), (["a"], [0], [1]), (["a", "b"], [0]), (["a", "b", "c"], [0, 0, 0])),
        *((["a", 5], [0, 0]), (["a", "x/y"], [0, 0]), (["a", "b"], [0, 60]), (["a", "b"], [0, -1])),
        *((["a", "b"], [0, "1"]), (["a", "b"], [0, 1.5]), (["a", "b"], [0, True]), 5, {"a": 1, "b": 2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["stgcn", "agcn"])
def test_a_label_pickle_that_is_wrong_is_named(kind: str, content: Any, tmp_path: Path) -> None:
    dataset, _ = made(kind, tmp_path)
    (tmp_path / "val_label.pkl").write_bytes(pickle.dumps(content))
    assert str(tmp_path / "val_label.pkl") in refused(dataset)


def test_a_folder_without_files_says_what_it_needs(tmp_path: Path) -> None:
    dataset, path = made("stgcn", tmp_path)
    path.unlink()
    assert f"{path} does not exist" in refused(dataset)
    (tmp_path / "val_label.pkl").unlink()
    assert {clip.split for clip in replace(dataset).clips()} == {"train"}  # one split is enough
    for part in ("train_data.npy", "train_label.pkl"):
        (tmp_path / part).unlink()
    assert "contains neither train_data.npy nor val_data.npy" in refused(dataset)


def test_wrong_h5_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    dataset, path = made("h5", tmp_path)
    read_all(dataset)
    whole = path.read_bytes()
    changes: dict[str, tuple[Callable[[Any], Any], str]] = {
        "no array": (lambda file: file.pop("test_x"), "contains no array test_x"),
        "a group": (lambda file: (file.pop("test_x"), file.create_group("test_x")), "contains no array test_x"),
        "labels": (lambda file: (file.pop("test_y"), file.update(test_y=np.array([1, 99]))), "entry 1 has label 99"),
        "clips": (lambda file: (file.pop("test_y"), file.update(test_y=np.eye(60)[:1])), "test_x is float32"),
        "NaN": (lambda file: file["test_x"].__setitem__((1, 4, 3), np.nan), "entry 1 of test_x: frame 4"),
        "text": (lambda file: (file.pop("x"), file.update(x="hello")), "x is object"),
    }
    for change, match in changes.values():
        with h5py.File(path, "a") as file:
            change(file)
        text = refused(dataset)
        assert str(path) in text and match in text
        path.write_bytes(whole)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert refused(dataset).endswith("pip install skeleton_adv[h5]")


def test_rows_are_read_wherever_they_are(tmp_path: Path) -> None:
    array = np.arange(60, dtype=">f8").reshape(5, 4, 3)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", x=array, other=array[0])
    np.savez_compressed(tmp_path / "b.npz", x=array, other=array[0])
    found = [npy_rows(tmp_path / "a.npy"), npz_rows(tmp_path / "a.npz", "x"), npz_rows(tmp_path / "b.npz", "x")]
    assert [rows.start is None for rows in found] == [False, False, True]
    for rows in found:
        assert rows.shape == (5, 4, 3)
        np.testing.assert_array_equal(rows.row(3), array[3])
        np.testing.assert_array_equal(np.stack(list(rows.each((0, 2, 4)))), array[[0, 2, 4]])
        np.testing.assert_array_equal(rows.loaded(), array)
    with pytest.raises(DataError, match=r"no array y: did you mean|choose from: other, x"):
        npz_rows(tmp_path / "a.npz", "y")
