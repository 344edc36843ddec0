"""A user's array as a clip: units, absence, and one line for every mistake."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import make_batch
from hypothesis import given
from hypothesis import strategies as st

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.skeleton import COCO17, H36M17, KINECT20, NTU25, Skeleton
from skeleton_adv.data.arrays import METRES, to_raw

FLAT = COCO17.without_score()


def clip(frames: int = 6, skeleton: Skeleton = NTU25) -> np.ndarray:
    """(T, V, C) metres."""
    return make_batch(1, frames, 1, skeleton, seed=3).x[0, ..., 0].numpy().transpose(1, 2, 0).copy()


def pixels(frames: int = 6, score: bool = False) -> np.ndarray:
    """(T, 17, 2 or 3) in an image of 640 x 480, every joint inside."""
    rng = np.random.default_rng(1)
    joints = rng.uniform((200, 100), (400, 400), (frames, 17, 2))
    return np.concatenate([joints, rng.uniform(0.1, 1, (frames, 17, 1))], axis=2) if score else joints


def test_both_layouts_are_the_same_clip() -> None:
    one = clip()
    raw = to_raw(one, NTU25, unit="m", where="it")
    assert raw.frames.shape == (6, 3, 25, 1) and raw.frames.dtype == np.float32 and raw.frames.flags.c_contiguous
    np.testing.assert_array_equal(raw.frames[..., 0], one.transpose(0, 2, 1).astype(np.float32))
    assert raw.exists.all()
    other = to_raw(one.transpose(2, 0, 1)[..., None], NTU25, unit="m", where="it", num_persons=3)
    np.testing.assert_array_equal(other.frames[..., :1], raw.frames)
    assert other.frames.shape[-1] == 3 and not other.exists[..., 1:].any() and not other.frames[..., 1:].any()


@given(st.sampled_from(sorted(METRES)), st.sampled_from(["f4", "f8", "g"]))
def test_lengths_become_metres(unit: Any, dtype: str) -> None:
    raw = to_raw((clip() / METRES[unit]).astype(dtype), NTU25, unit=unit, where="it")
    np.testing.assert_allclose(raw.frames[..., 0], clip().transpose(0, 2, 1), rtol=1e-6, atol=1e-7)


def test_whole_millimetres_may_be_integers() -> None:
    raw = to_raw((1000 * clip()).round().astype(np.int16), NTU25, unit="mm", where="it")
    np.testing.assert_allclose(raw.frames[..., 0], clip().transpose(0, 2, 1), atol=0.00051)


def test_pixels_are_fractions_from_the_middle_y_up() -> None:
    joints = pixels()
    joints[0, 0], joints[0, 1] = (640, 480), (320, 240)
    raw = to_raw(joints, FLAT, unit="px", image_size=(640, 480), where="it")
    assert raw.frames[0, :, 0, 0].tolist() == [0.5, -0.5] and raw.frames[0, :, 1, 0].tolist() == [0, 0]
    again = to_raw(raw.frames[..., 0].transpose(0, 2, 1), FLAT, unit="image", where="it")
    np.testing.assert_array_equal(again.frames, raw.frames)


def test_a_score_of_zero_is_absence_and_no_score_is_one() -> None:
    joints = pixels(score=True)
    joints[2, 5, 2] = 0
    raw = to_raw(joints, COCO17, unit="px", image_size=(640, 480), where="it")
    assert raw.exists.sum() == 6 * 17 - 1 and not raw.exists[2, 5, 0] and not raw.frames[2, :, 5].any()
    np.testing.assert_allclose(raw.frames[1, 2, :, 0], joints[1, :, 2], rtol=1e-6)
    raw = to_raw(joints[..., :2], COCO17, unit="px", image_size=(640, 480), where="it")
    assert raw.frames.shape[1] == 3 and (raw.frames[:, 2] == 1).all()


def test_joints_that_do_not_exist_are_zero_in_all_channels() -> None:
    one = clip()
    one[1, 3, 1] = np.nan
    raw = to_raw(one, NTU25, unit="m", where="it")
    assert not raw.exists[1, 3, 0] and not raw.frames[1, :, 3].any() and raw.exists.sum() == 6 * 25 - 1
    there = np.ones((6, 25), bool)
    there[2, 4] = False
    raw = to_raw(one, NTU25, unit="m", mask=there, where="it")
    assert raw.exists.sum() == 6 * 25 - 2 and not raw.frames[2, :, 4].any()


def test_a_person_at_zero_is_absent_but_a_joint_at_zero_is_not() -> None:
    """A clip may be centred on a joint; no person has all joints at one place."""
    two = np.stack([clip(), clip()], axis=-1).transpose(2, 0, 1, 3)
    two[:, :, 0] = 0
    two[:, 3:, :, 1] = 0
    raw = to_raw(two, NTU25, unit="m", where="it")
    assert raw.exists[..., 0].all() and raw.exists[:3, :, 1].all() and not raw.exists[3:, :, 1].any()
    told = to_raw(two, NTU25, unit="m", mask=np.ones((6, 25, 2)), where="it")
    assert told.exists.all()


def test_a_joint_at_pixel_zero_is_absent() -> None:
    """OpenPose and COCO write a joint that was not found so."""
    joints = pixels()
    joints[4, 7] = 0
    raw = to_raw(joints, FLAT, unit="px", image_size=(640, 480), where="it")
    assert raw.exists.sum() == 6 * 17 - 1 and not raw.exists[4, 7, 0]


def spoilt(**places: float) -> np.ndarray:
    one = clip()
    for value in places.values():
        one[2, 7, 1] = value
    return one


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "infinite": (spoilt(value=np.inf), {}, "frame 2 .*joint 7, person 0 contains inf"),
    "huge": (spoilt(value=1e30), {}, "1e[+]30 m, more than 100: repair it, or is the unit mm or cm"),
    "beyond float": (1e300 * clip(), {}, "is the unit mm"),
    "millimetres": (1000 * clip(), {}, "is the unit mm"),
    "centimetres": (100 * clip(), {}, "median bone is .* is the unit cm"),
    "metres as mm": (clip(), {"unit": "mm"}, "is the unit m[?]"),
    "millimetres as cm": (1000 * clip(), {"unit": "cm"}, "is the unit mm[?]"),
    "a fly": (0.01 * clip(), {}, "scale the clips"),
    "joints": (clip()[:, :20], {}, r"\(6, 20, 3\) does not fit ntu25: use \(frames, 25, channels\)"),
    "channels": (clip()[..., :2], {}, "with 3 channels"),
    "one frame": (clip()[:1], {}, "1 frames"),
    "no frame": (clip()[:0], {}, "0 frames"),
    "nowhere": (0 * clip(), {}, "no joint exists"),
    "all NaN": (np.nan * clip(), {}, "no joint exists"),
    "complex": (clip() + 0j, {}, "complex128"),
    "objects": (clip().astype(object), {}, "object"),
    "bools": (clip() > 0, {}, "bool"),
    "text": (clip().astype(str), {}, "type <U"),
    "ragged": ([[1, 2], [3]], {}, "equal lengths"),
    "a scalar": (3.0, {}, "shape"),
    "no such unit": (clip(), {"unit": "inch"}, "choose from m, cm"),
    "depth in an image": (clip(), {"unit": "image"}, "three coordinates"),
    "mask of another shape": (clip(), {"mask": np.ones((6, 24), bool)}, "mask's shape"),
    "mask of other values": (clip(), {"mask": np.full((6, 25), 0.5)}, "true and false"),
    "too many persons": (np.stack([clip().transpose(2, 0, 1)] * 2, -1), {"num_persons": 1}, "num_persons=2"),
}
FLAT_REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no size": (pixels(), {"unit": "px"}, "image_size"),
    "no such size": (pixels(), {"unit": "px", "image_size": (0, 480)}, "image_size"),
    "pixels as fractions": (pixels(), {"unit": "image"}, "use unit px"),
    "fractions as pixels": (pixels() / 640, {"unit": "px", "image_size": (640, 480)}, "multiply"),
    "a smaller image": (pixels(), {"unit": "px", "image_size": (64, 48)}, "is image_size right"),
}


@pytest.mark.parametrize("case", [*REFUSED, *FLAT_REFUSED])
def test_every_mistake_is_one_line_that_names_the_clip(case: str) -> None:
    values, changes, words = {**REFUSED, **FLAT_REFUSED}[case]
    settings: dict[str, Any] = {"unit": "m", "where": "clip 12"} | changes
    with pytest.raises(DataError, match=rf"^clip 12: .*{words}") as caught:
        to_raw(values, NTU25 if case in REFUSED else FLAT, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("skeleton", [NTU25, KINECT20, H36M17], ids=lambda s: s.name)
def test_small_and_tall_bodies_have_no_suspicious_bones(skeleton: Skeleton, scale: float) -> None:
    """Bones of ``make_batch`` are 0.25 m: hands have 0.03 m, the limbs of a giant 0.8 m."""
    to_raw(scale * clip(skeleton=skeleton), skeleton, unit="m", where="it")
    to_raw(0.1 * clip(skeleton=skeleton), skeleton, unit="m", where="it")


def test_a_lone_joint_has_no_bone_to_judge_by() -> None:
    there = np.zeros((6, 25), bool)
    there[:, 3] = True
    assert to_raw(40 * clip(), NTU25, unit="m", mask=there, where="it").exists.sum() == 6


def test_other_channels_for_coordinates_are_kept_in_place() -> None:
    """A skeleton whose score comes first."""
    first = replace(COCO17, coords=(1, 2))
    joints = pixels(score=True)
    raw = to_raw(joints[..., [2, 0, 1]], first, unit="px", image_size=(640, 480), where="it")
    usual = to_raw(joints, COCO17, unit="px", image_size=(640, 480), where="it")
    np.testing.assert_array_equal(raw.frames[:, [1, 2, 0]], usual.frames)
