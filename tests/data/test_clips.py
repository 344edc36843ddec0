"""Cropping and resampling, compared with torch, and the fixed order of clips."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.data.clips import Clip, RawClip, centre_crop, hashed_order, random_crop, resample


@pytest.mark.parametrize(("length", "frames"), [(20, 32), (64, 32), (33, 64), (32, 32), (7, 16)])
def test_resample_is_a_bilinear_resize(length: int, frames: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(length + 9, 3, 5, 2)).astype(np.float32)
    got, exists = resample(RawClip(x, np.ones((length + 9, 5, 2), bool)), 4, length, frames)
    part = torch.from_numpy(x[4 : 4 + length]).permute(1, 0, 2, 3).reshape(3, length, 10)
    expected = F.interpolate(part[None], size=(frames, 10), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(got.reshape(3, frames, 10), expected.numpy(), atol=2e-6)
    assert exists.all()


def test_a_frame_exists_if_all_its_sources_do() -> None:
    exists = np.ones((8, 1, 1), bool)
    exists[3] = False
    raw = RawClip(np.zeros((8, 3, 1, 1), np.float32), exists)
    # Halving reads frames (0, 1), (2, 3), (4, 5), (6, 7) in equal parts.
    assert resample(raw, 0, 8, 4)[1][:, 0, 0].tolist() == [True, False, True, True]
    # At the same length, the only source of a frame is the frame itself.
    assert resample(raw, 0, 8, 8)[1][:, 0, 0].tolist() == exists[:, 0, 0].tolist()


def test_centre_crop_agrees_with_the_public_feeder() -> None:
    assert [centre_crop(length, 0.95) for length in (100, 41, 300, 10)] == [(2, 96), (1, 39), (7, 286), (0, 10)]
    assert centre_crop(50, 1.0) == (0, 50)


def test_random_crops_are_within_the_clip_and_long_enough() -> None:
    rng = random.Random(0)
    crops = [random_crop(80, 0.5, 32, rng) for _ in range(500)]
    assert all(start >= 0 and start + length <= 80 and 40 <= length <= 80 for start, length in crops)
    assert len({start for start, _ in crops}) > 20
    assert random_crop(20, 0.5, 32, rng) == (0, 20)


def test_order_is_a_fair_sample_and_depends_on_names_alone() -> None:
    clips = [Clip(f"a{label:02}_{k}", label, "test" if k % 2 else "train") for label in range(20) for k in range(20)]
    order = hashed_order(clips, "test")
    assert sorted(order) == [i for i, clip in enumerate(clips) if clip.split == "test"]
    assert len({clips[i].label for i in order[:40]}) > 14
    names = [clips[i].name for i in order]
    backwards = clips[::-1]
    assert [backwards[i].name for i in hashed_order(backwards, "test")] == names


def test_a_whole_clip_is_in_the_batch_as_recorded() -> None:
    rng = np.random.default_rng(0)
    for start, length in ((0, 50), (7, 30), (0, 310)):
        size = start + length
        raw = RawClip(rng.normal(size=(size, 3, 25, 2)).astype(np.float32), rng.random((size, 25, 2)) > 0.1)
        frames, exists = resample(raw, start, length, WHOLE)
        kept = min(length, WHOLE)
        np.testing.assert_array_equal(frames[:, :kept], raw.frames[start : start + kept].transpose(1, 0, 2, 3))
        np.testing.assert_array_equal(exists[:kept], raw.exists[start : start + kept])
        assert frames.shape == (3, WHOLE, 25, 2) and not frames[:, kept:].any() and not exists[kept:].any()
