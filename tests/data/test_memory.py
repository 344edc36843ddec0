"""Clips in memory are a dataset like any other."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import make_batch

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.skeleton import KINECT20, Skeleton
from skeleton_adv.data.arrays import to_raw
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.dataset import Clip, RawClip
from skeleton_adv.data.memory import Memory
from skeleton_adv.data.naming import own_name
from skeleton_adv.data.store import Generated, prepare

STICK = Skeleton("stick", ("hip", "knee", "foot"), (0, 0, 1), (), center=0)


def raw(frames: int, seed: int = 0) -> RawClip:
    x = make_batch(1, frames, 1, KINECT20, seed=seed).x[0].numpy()
    return to_raw(x, KINECT20, unit="m", where="it")


def memory(**changes: Any) -> Memory:
    listed = (Clip("a", 0, "train"), Clip("b", 1, "test"), Clip("c", 0, "test"))
    settings: dict[str, Any] = {
        "body": KINECT20,
        "arrays": (raw(10), raw(12, 1), raw(40, 2)),
        "listed": listed,
        "names_of_classes": ("stand", "walk"),
        "num_frames": 16,
    }
    return Memory(**settings | changes)


def test_clips_become_batches_without_being_written(tmp_path: Any) -> None:
    dataset = memory(num_persons=2, recorded_fps=50)
    prepared = prepare(dataset, tmp_path)
    assert isinstance(prepared, Generated) and not list(tmp_path.iterdir()) and not hasattr(dataset, "write")
    batch = load_batch(dataset, prepared, [2, 1])
    assert batch.x.shape == (2, 3, 16, 20, 2) and not batch.mask[..., 1].any()
    assert batch.dt.tolist() == pytest.approx([40 / 16 / 50, 12 / 16 / 50])
    assert batch.y.tolist() == [0, 1] and dataset.classes == ("stand", "walk")


def test_the_digest_is_of_everything_that_can_change_a_number() -> None:
    base = memory().fingerprint()
    lost = RawClip(raw(10).frames, raw(10).exists & (np.arange(20) > 0)[:, None])
    other = replace(KINECT20, angles=KINECT20.angles[1:])
    listed = (Clip("a", 1, "train"), *memory().listed[1:])
    changes: list[dict[str, Any]] = [
        {"arrays": (raw(10, 9), *memory().arrays[1:])},
        {"arrays": (lost, *memory().arrays[1:])},
        {"listed": listed},
        {"listed": (Clip("a", 0, "test"), *memory().listed[1:])},
        {"body": other},
        {"recorded_fps": 25.0},
        {"num_persons": 2},
    ]
    found = [memory(**change).fingerprint() for change in changes]
    assert len({base, *found}) == len(changes) + 1
    same: list[dict[str, Any]] = [{"title": "b"}, {"num_frames": 20}, {"test_crop": 0.9}, {"recorded_fps": 30}]
    assert {memory(**change).fingerprint() for change in same} == {base}


def test_facts_are_plain_and_name_what_files_do_not_show() -> None:
    facts = memory(body=KINECT20).facts()
    assert Skeleton.from_dict(facts["skeleton"]) == KINECT20
    assert (facts["fps"], facts["unit"], facts["num_classes"]) == (30, "m", 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arrays": ()}, "0 arrays for 3"),
        ({"names_of_classes": ("one",)}, "names_of_classes"),
        ({"names_of_classes": ("one", "one")}, "names_of_classes"),
        ({"coordinates": "image"}, "coordinates=image"),
        ({"recorded_fps": 0.0}, "recorded_fps"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        memory(**changes)


def test_broken_clips_are_named() -> None:
    two = raw(10).padded(2)
    with pytest.raises(DataError, match=r"clip a: 2 persons.*dataset\.num_persons=2"):
        prepare(memory(arrays=(two, *memory().arrays[1:])), None).raw(0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="clip a: frames are"):
        prepare(memory(body=STICK), None).raw(0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="label 2"):
        prepare(memory(listed=(Clip("a", 2, "test"), *memory().listed[1:])), None)  # type: ignore[arg-type]


def test_a_memory_is_cheap_to_compare_and_equals_only_itself() -> None:
    one = memory()
    assert one == one and one != memory() and len({one, memory()}) == 2


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("My Clips (2024)", "my_clips_2024"),
        ("ntu60_cs", "own_ntu60_cs"),
        ("NTU60 CS", "own_ntu60_cs"),
        ("Übung", "ubung"),
        ("..", "own"),
        ("2024", "own_2024"),
        ("a/../b", "a_b"),
    ],
)
def test_names_are_safe_in_paths_and_never_those_of_shipped_sets(title: str, name: str) -> None:
    assert own_name(title) == name
