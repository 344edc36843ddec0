"""Synthetic datasets, written in the official formats and read back by the readers of the real datasets."""

from pathlib import Path

import numpy as np
import pytest

from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.data.clips import Clip
from skeleton_adv.data.kinetics import Kinetics
from skeleton_adv.data.ntu import NTU
from skeleton_adv.data.synthetic.dataset import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics


def some(clips: tuple[Clip, ...], actions: tuple[int, ...] = (0, 1, 30, 49, 55, 59)) -> tuple[Clip, ...]:
    """Clips of a few actions, some of two persons, of all cameras and both splits."""
    return tuple(c for c in clips if c.label in actions and c.name[9:12] in ("001", "003", "020"))


@pytest.mark.parametrize("protocol", ["cs", "cv"])
@pytest.mark.parametrize("num_persons", [1, 2])
def test_skeleton_files(protocol: str, num_persons: int, tmp_path: Path) -> None:
    made = SyntheticMotion(protocol, num_persons=num_persons)  # type: ignore[arg-type]
    clips = some(made.clips())
    assert len(clips) == 54
    made.write(clips, tmp_path)
    read = NTU(str(tmp_path), protocol, num_persons=num_persons)  # type: ignore[arg-type]
    assert sorted(read.clips(), key=lambda c: c.name) == sorted(clips, key=lambda c: c.name)
    for clip in clips:
        straight, back = made.read(clip), read.read(clip)
        np.testing.assert_allclose(back.frames, straight.frames, rtol=0, atol=1e-6)  # the text's rounding
        np.testing.assert_array_equal(back.exists, straight.exists)


def test_openpose_files(tmp_path: Path) -> None:
    made = SyntheticKinetics(num_actions=60)
    clips = some(made.clips(), (0, 1, 2, 49, 50, 59))
    made.write(clips, tmp_path)
    read = Kinetics(str(tmp_path), num_actions=60)
    assert sorted(read.clips(), key=lambda c: c.name) == sorted(clips, key=lambda c: c.name)
    for clip in clips:
        straight, back = made.read(clip), read.read(clip)
        np.testing.assert_array_equal(back.frames, straight.frames)
        np.testing.assert_array_equal(back.exists, straight.exists)


def test_a_detector_finds_faces_from_the_front() -> None:
    made = SyntheticKinetics()
    joint = OPENPOSE18.joints.index
    inside, above, found = [], [], []
    for clip in some(made.clips(), (5, 12, 22)):
        if "C002" not in clip.name:
            continue
        raw = made.read(clip)
        there = raw.exists[..., 0].all(axis=1)
        x, y = raw.frames[there, 0, :, 0], raw.frames[there, 1, :, 0]
        inside.append(abs(raw.frames[:, :2]).max() < 0.5)
        above.append((y[:, joint("nose")] > y[:, joint("neck")]).mean())
        # A person's left is on the right of the image.
        assert np.median(x[:, joint("left_ear")] - x[:, joint("right_ear")]) > 0.01
        assert np.median(x[:, joint("left_shoulder")] - x[:, joint("right_shoulder")]) > 0.01
        found.append(raw.exists[..., 0].mean())
    assert all(inside) and np.mean(above) > 0.7 and 0.8 < np.mean(found) < 0.999
