"""Artificial JSON files of Kinetics-skeleton: persons by score, splits, and messages about broken files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeleton_adv.constraints import BoneLength
from skeleton_adv.core.errors import DataError
from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.kinetics import Kinetics, keep_surest, read_openpose_file
from skeleton_adv.data.store import prepare


def body(seed: int, score: float) -> dict[str, list[float]]:
    rng = np.random.default_rng(seed)
    return {"pose": rng.uniform(0.2, 0.8, 36).round(3).tolist(), "score": [score] * 18}


def content(frames: int = 12) -> dict[str, Any]:
    data = [
        {"frame_index": k, "skeleton": [body(3 * k, 0.5), body(3 * k + 1, 0.9), body(3 * k + 2, 0.7)]}
        for k in range(1, frames + 1)
    ]
    return {"data": data, "label": "waving", "label_index": 1}


def write_set(root: Path) -> Path:
    for folder, names in (("kinetics_train", ("a", "b")), ("kinetics_val", ("c", "d"))):
        (root / folder).mkdir(parents=True)
        labels = {}
        for label, name in enumerate(names):
            (root / folder / f"{name}.json").write_text(json.dumps(content()))
            labels[name] = {"has_skeleton": True, "label": ("running", "waving")[label], "label_index": label}
        labels[f"no{folder}"] = {"has_skeleton": False, "label": "waving", "label_index": 1}
        (root / f"{folder}_label.json").write_text(json.dumps(labels))
    return root


def test_surest_persons_come_first_and_the_image_is_centred(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    given = content()
    given["data"][4]["skeleton"][1]["score"] = [0.0] * 18
    given["data"][5]["skeleton"][1]["score"][7] = 0.0
    path.write_text(json.dumps(given))
    raw = keep_surest(read_openpose_file(path), 2)
    assert raw.frames.shape == (13, 3, 18, 2) and not raw.exists[0].any()  # no frame 0 is listed
    first = np.array(given["data"][0]["skeleton"][1]["pose"]).reshape(18, 2)
    np.testing.assert_allclose(raw.frames[1, 0, :, 0], first[:, 0] - 0.5, atol=1e-6)
    np.testing.assert_allclose(raw.frames[1, 1, :, 0], 0.5 - first[:, 1], atol=1e-6)
    assert raw.frames[1, 2, 0].tolist() == pytest.approx([0.9, 0.7])
    assert raw.frames[5, 2, 0].tolist() == pytest.approx([0.7, 0.5])
    assert not raw.exists[6, 7, 0] and not raw.frames[6, :, 7, 0].any() and raw.exists[6].sum() == 35


def test_splits_classes_and_the_score_that_nothing_may_change(tmp_path: Path) -> None:
    dataset = Kinetics(str(write_set(tmp_path / "set")), num_frames=16)
    assert [(clip.name, clip.label, clip.split) for clip in dataset.clips()] == [
        *(("a", 0, "train"), ("b", 1, "train"), ("c", 0, "test"), ("d", 1, "test"))
    ]
    assert dataset.classes == ("running", "waving")
    store = prepare(dataset, tmp_path / "cache")
    batch = load_batch(dataset, store, [0, 3])
    assert batch.x.shape == (2, 3, 16, 18, 2) and not batch.movable[:, 2].any()
    assert (batch.movable[:, 0] == batch.mask[:, 0]).all()
    moved = batch.x.clone()
    moved[:, 2] += 1
    assert BoneLength(0.0).satisfied(moved, batch).all()


def label_entry(label: int, name: str) -> dict[str, Any]:
    return {"has_skeleton": True, "label": name, "label_index": label}


def test_a_part_of_the_set_keeps_its_label_indices(tmp_path: Path) -> None:
    names = {0: "abseiling", 17: "bench pressing", 34: "bowling"}
    for folder in ("kinetics_train", "kinetics_val"):
        (tmp_path / folder).mkdir()
        listed = {f"{folder}{label}": label_entry(label, name) for label, name in names.items()}
        (tmp_path / f"{folder}_label.json").write_text(json.dumps(listed))
        for name in listed:
            (tmp_path / folder / f"{name}.json").write_text(json.dumps(content()))
    dataset = Kinetics(str(tmp_path))
    store = prepare(dataset, tmp_path / "cache")
    assert [clip.label for clip in store.clips] == [0, 17, 34] * 2
    assert load_batch(dataset, store, [4]).y.tolist() == [17]
    assert len(dataset.classes) == len(set(dataset.classes)) == 400
    assert [dataset.classes[label] for label in (0, 16, 17, 399)] == [
        *("abseiling", "class_16", "bench pressing", "class_399")
    ]
    few = Kinetics(str(tmp_path), num_actions=20)
    assert {clip.label for clip in few.clips()} == {0, 17} and len(few.classes) == 20


def test_one_split_alone_may_exist(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    (root / "kinetics_train_label.json").unlink()
    assert {clip.split for clip in Kinetics(str(root)).clips()} == {"test"}


def change(place: str, value: Any) -> str:
    given = content()
    frame = given["data"][3]
    target = {"frame": frame, "body": frame["skeleton"][1], "file": given}[place.partition(".")[0]]
    target[place.partition(".")[2]] = value
    return json.dumps(given)


BROKEN = {
    "empty": ("", ":1: not JSON"),
    "truncated": (json.dumps(content())[:500], ":1: not JSON"),
    "not text": ("ä" * 20, "not a readable text file"),
    "no frames": (change("file.data", []), "no list of frames"),
    "a list": ("[]", "no list of frames"),
    "wrong joint count": (change("body.score", [0.5] * 17), "frame_index 4, body 2: 17 numbers in score, not 18"),
    "no pose": (change("body.pose", None), "frame_index 4, body 2: no numbers in pose, not 36"),
    "NaN": (change("body.pose", [float("nan")] * 36), "body 2: pose contains a value that is not finite"),
    "nested": (change("body.score", [[0.5]] * 18), "score contains a value that is not a number"),
    "far outside": (change("body.pose", [1e4] * 36), "frame_index 4, body 2: pose contains a value that is not finite"),
    "huge": (change("body.score", [10**400] * 18), "score contains a value that is not finite or is far outside"),
    "too long a number": (change("body.score", [0.5] * 18).replace("0.5", "1" * 5000, 1), "not a readable text file"),
    "no body": (json.dumps({"data": [{"frame_index": k, "skeleton": []} for k in range(3)]}), "no joint has a score"),
    "true": (change("body.score", [True] * 18), "score contains a value that is not a number"),
    "words": (change("body.score", ["high"] * 18), "body 2: score contains a value that is not a number"),
    "negative": (change("frame.frame_index", -1), "frame 4 of 12 lacks a usable frame_index"),
    "twice": (change("frame.frame_index", 5), "two frames have the same frame_index"),
    "far": (change("frame.frame_index", 10**9), "frame 4 of 12 lacks a usable frame_index"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_with_its_frame(kind: str, tmp_path: Path) -> None:
    text, message = BROKEN[kind]
    path = tmp_path / "x.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as caught:
        read_openpose_file(path)
    assert str(path) in str(caught.value) and message in str(caught.value)


def test_broken_lists_of_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.root=.* contains neither"):
        Kinetics(str(tmp_path / "nowhere")).clips()
    root = write_set(tmp_path / "set")
    (root / "kinetics_val/d.json").unlink()
    with pytest.raises(DataError, match=r"d\.json is not accessible"):
        prepare(Kinetics(str(root)), tmp_path / "cache")
    path = root / "kinetics_val_label.json"
    good = {"has_skeleton": True, "label": "running", "label_index": 0}
    for entry, message in (
        ({"c": {**good, "label": "walking"}}, "label_index 0 is 'running' and also 'walking'"),
        ({"a": good}, "a is also listed as a train clip"),
        ({"c": {"label": "x"}}, "entry 'c' must contain has_skeleton"),
        ({"c": {**good, "label_index": 400}}, "entry 'c' has label_index 400"),
        ({"c\0": good}, "a bad name"),
        ({"\ud800": good}, "a bad name"),
    ):
        path.write_text(json.dumps(entry))
        with pytest.raises(DataError, match=message):
            Kinetics(str(root)).clips()


def test_released_bones_and_angles() -> None:
    bones = ((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13))
    bones += ((0, 1), (0, 14), (0, 15), (14, 16), (15, 17))
    assert {frozenset(bone) for bone in OPENPOSE18.bones} == {frozenset(bone) for bone in bones}
    assert len(OPENPOSE18.angles) == 11
