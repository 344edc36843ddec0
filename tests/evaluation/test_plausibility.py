"""Measures of plausibility, against closed forms."""

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18
from skeleton_adv.evaluation.plausibility import COLUMNS, Plausibility, high_frequency, jerk, poses, skate
from skeleton_adv.tasks.attack import _plausibility


def moving(path: Tensor, skeleton: Any = KINECT20) -> SkeletonBatch:
    """One person whose joints all move along ``path`` (C, T), at 10 frames per second."""
    body = make_batch(1, 1, 1, skeleton).x[:, :, :1]
    x = body + path[None, :, :, None, None]
    n, _, t, v, m = x.shape
    mask = torch.ones(n, 1, t, v, m, dtype=torch.bool)
    return SkeletonBatch(x, torch.zeros(n, dtype=torch.long), mask, torch.arange(n), torch.full((n,), 0.1), skeleton)


def test_the_jerk_of_a_cubic_is_constant() -> None:
    """x = a t^3 has the third derivative 6 a."""
    time = torch.arange(12, dtype=torch.float64) * 0.1
    path = torch.stack([2 * time**3, 0 * time, time**2])
    assert jerk(moving(path).x, moving(path)).tolist() == pytest.approx([12.0])


@pytest.mark.parametrize(("wave", "share"), [(4, 0.0), (22, 1.0)])
def test_a_cosine_has_its_power_at_one_frequency(wave: int, share: float) -> None:
    """The k-th cosine of 32 frames has k / 32 of the Nyquist frequency; the upper third begins at 22."""
    steps = torch.arange(32, dtype=torch.float64) + 0.5
    path = torch.stack([torch.cos(math.pi / 32 * wave * steps), 0 * steps, 0 * steps])
    assert high_frequency(moving(path).x, moving(path)).tolist() == pytest.approx([share], abs=1e-9)
    assert high_frequency(moving(0 * path).x, moving(0 * path)).isnan().all()


def test_feet_on_the_floor_skate_at_their_horizontal_speed() -> None:
    time = torch.arange(8, dtype=torch.float64) * 0.1
    path = torch.stack([0.3 * time, 0 * time, 0.4 * time])
    batch = moving(path)
    feet = [number for number, name in enumerate(KINECT20.joints) if name.endswith("foot")]
    batch.x[:, 1, :, feet] = batch.x[:, 1].amin()
    assert skate(batch.x, batch).tolist() == pytest.approx([0.5])
    batch.x[:, 1, 1::2, feet[0]] += 1.0  # this foot never touches the floor in two frames in a row
    x = batch.x.clone()
    x[:, 0, ::2, feet[0]] += 5.0
    assert skate(x, batch).tolist() == pytest.approx([0.5])
    assert skate(*(lambda b: (b.x, b))(moving(path[:3], OPENPOSE18))).isnan().all()


def test_a_pose_does_not_depend_on_place_heading_and_size() -> None:
    batch = make_batch(n=4, t=6)
    cos, sin = math.cos(1.1), math.sin(1.1)
    rotation = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=torch.float64)
    other = 1.7 * torch.einsum("dc,nctvm->ndtvm", rotation, batch.x) + 0.4
    there = SkeletonBatch(other, batch.y, batch.mask, batch.index, batch.dt, NTU25)
    own, exists = poses(batch.x, batch)
    again, still = poses(there.x, there)
    assert torch.equal(exists, still) and exists.any() and not exists.all()
    torch.testing.assert_close(own[exists], again[exists])


def plausibility(batch: SkeletonBatch) -> Plausibility:
    def batches() -> Iterator[SkeletonBatch]:
        yield batch

    return Plausibility(batches, batches)


def test_clean_clips_lie_among_themselves() -> None:
    """Clips of one class: the largest value has the percentile 100, and poses and angles of the training set fit."""
    batch = make_batch(n=6, t=6, m=1, skeleton=KINECT20).with_labels(torch.zeros(6, dtype=torch.long))
    found = plausibility(batch).columns(batch.x, batch)
    assert [*found] == [*COLUMNS] and {tuple(values.shape) for values in found.values()} == {(6,)}
    assert found["limit_excess"].tolist() == [0.0] * 6 and found["limit_excess_ratio"].isnan().all()
    assert found["pose_distance"].tolist() == pytest.approx([0.0] * 6, abs=1e-3)  # cdist in float32
    for name in ("jerk", "high_frequency"):
        order = found[name].argsort()
        assert found[f"{name}_percentile"][order].tolist() == pytest.approx([100 * k / 6 for k in range(1, 7)])
        assert torch.equal(found[f"{name}_percentile"], found[f"{name}_clean_percentile"])
        quantile = found[name].quantile(0.95)
        torch.testing.assert_close(found[f"{name}_ratio"], found[name] / quantile)


def test_a_trembling_clip_is_unusual() -> None:
    batch = make_batch(n=6, t=8, m=1, skeleton=KINECT20).with_labels(torch.zeros(6, dtype=torch.long))
    shake = 0.2 * torch.tensor([1.0, -1.0]).repeat(4).view(1, 1, 8, 1, 1) * batch.movable
    found = plausibility(batch).columns(batch.x + shake, batch)
    for name in ("jerk", "high_frequency"):
        assert (found[f"{name}_ratio"] > 1).all() and (found[f"{name}_percentile"] == 100).all()
        assert (found[f"{name}_clean_percentile"] < 100).any()
    bent = batch.x.clone()
    bent[:, :, :, KINECT20.joints.index("left_hand")] += 0.6
    assert (plausibility(batch).columns(bent, batch)["limit_excess"] > 0).any()
    assert (plausibility(batch).columns(bent, batch)["pose_distance"] > 0.01).all()


def test_plausibility_without_training_clips_is_refused() -> None:
    clips = [SimpleNamespace(split="test", name="one", label=0)]
    job: Any = SimpleNamespace(dataset=SimpleNamespace(name="mine", splitting="add a column split"))
    prepared: Any = SimpleNamespace(clips=clips, digest="d")
    with pytest.raises(SettingError, match="plausibility"):
        _plausibility(job, prepared, "cpu")
