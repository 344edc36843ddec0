"""Corruptions: what each kind leaves as it is, by hand."""

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.attacks.corruption import DROPPED, JITTER, LOST, OCCLUDED, YAW, Kind, corruption
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.core.tree import limbs

KINDS = get_args(Kind)
severities = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])


def corrupted(batch: SkeletonBatch, kind: str, severity: int = 3, **rest: Any) -> Tensor:
    return corruption(None, batch, kind=kind, severity=severity, **rest).x_adv  # type: ignore[arg-type]


def distance(x: Tensor, batch: SkeletonBatch) -> float:
    return float((x - batch.x).norm())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", ["ntu25", "openpose18"])
def test_more_severe_is_further_from_the_clean_clip(kind: str, body: str) -> None:
    shape: dict[str, Any] = {"skeleton": OPENPOSE18} if body == "openpose18" else {}
    batch = make_batch(n=24, t=24, **shape)
    far = [distance(corrupted(batch, kind, severity), batch) for severity in range(1, 6)]
    assert far == sorted(far) and 0 < far[0] < far[-1]
    assert not (corrupted(batch, kind) != batch.x)[~batch.movable].any()


def test_jitter_has_its_size() -> None:
    batch = make_batch(n=4, t=32)
    for severity in (1, 5):
        noise = (corrupted(batch, "jitter", severity) - batch.x)[batch.movable]
        assert float(noise.std()) == pytest.approx(JITTER[severity - 1], rel=0.03)


@severities
def test_lost_joints_stop_in_the_first_half_for_good(severity: int) -> None:
    batch = make_batch(n=6, t=12)
    x = corrupted(batch, "lost", severity)
    lost = (x != batch.x).any(dim=1).any(dim=1)  # (N, V, M)
    exists = batch.mask[:, 0].any(dim=1)
    assert torch.equal(lost.sum(dim=1)[exists[:, 0]], (LOST[severity - 1] * exists.sum(dim=1)).round()[exists[:, 0]])
    held = x.transpose(1, 2).diff(dim=1).abs().sum(dim=2)[:, 5:].amax(dim=1)  # from the middle to the end
    assert not held[lost].any() and (held[exists & ~lost] > 0).all()


@severities
def test_occluded_limbs_move_as_a_whole(severity: int) -> None:
    batch = make_batch(n=8, t=20)
    number, share = OCCLUDED[severity - 1]
    moved = (corrupted(batch, "occluded", severity) != batch.x).any(dim=1)  # (N, T, V, M)
    parts = torch.stack([moved[:, :, list(limb)].any(dim=2) for limb in limbs(batch.skeleton)])  # (L, N, T, M)
    assert (parts.any(dim=2).sum(dim=0) == number * batch.mask[:, 0, 0, 0].int()).all()
    assert parts.sum(dim=2).amax() == round(share * 19)


@severities
def test_dropped_frames_hold_the_frame_before_or_are_filled(severity: int) -> None:
    batch = make_batch(n=5, t=21)
    ramp = torch.arange(21, dtype=torch.float64).view(1, 1, -1, 1, 1).expand_as(batch.x)
    batch = replace(batch, x=torch.where(batch.mask, ramp, 0))
    held, filled = corrupted(batch, "dropped", severity), corrupted(batch, "interpolated", severity)
    gaps = (held != batch.x).any(dim=1).any(dim=2).any(dim=2)
    assert (gaps.sum(dim=1) == round(DROPPED[severity - 1] * 20)).all() and not gaps[:, 0].any()
    there = batch.mask[:, 0, :, 0, 0]
    steps = held[:, 0, :, 0, 0].diff(dim=1)
    assert (steps[gaps[:, 1:] & there[:, 1:]] == 0).all()
    last = [int((~gap).nonzero().max()) for gap in gaps]  # after the last remaining frame nothing is known
    for n, frame in enumerate(last):
        torch.testing.assert_close(filled[n, :, :frame], batch.x[n, :, :frame])
        assert (filled[n, :, frame:] == batch.x[n, :, frame : frame + 1]).all()


@severities
def test_yaw_turns_the_scene_about_the_first_root(severity: int) -> None:
    batch = make_batch(n=6)
    x = corrupted(batch, "yaw", severity)
    before, after = (bone_lengths(z, batch.skeleton)[bones_exist(batch)] for z in (batch.x, x))
    torch.testing.assert_close(after, before)
    assert torch.equal(x[:, 1], batch.x[:, 1])
    root = (slice(None), [0, 2], 0, batch.skeleton.root, 0)
    torch.testing.assert_close(x[root], batch.x[root])
    a = (batch.x[:, :, 0, 5, 0] - batch.x[:, :, 0, 0, 0])[:, [0, 2]]
    b = (x[:, :, 0, 5, 0] - x[:, :, 0, 0, 0])[:, [0, 2]]
    cosine = (a * b).sum(dim=1) / a.norm(dim=1) / b.norm(dim=1)
    torch.testing.assert_close(cosine, torch.full_like(cosine, math.cos(math.radians(YAW[severity - 1]))))
    upright = corrupted(batch, "yaw", severity, up="z")
    assert torch.equal(upright[:, 2], batch.x[:, 2]) and not torch.equal(upright[:, 1], batch.x[:, 1])


def test_a_slow_camera_leaves_straight_motion_and_its_own_instants() -> None:
    batch = make_batch(n=2, t=17, m=1)
    batch = replace(batch, dt=torch.full((2,), 1 / 16), mask=torch.ones_like(batch.mask))
    x = corrupted(batch, "rate", 3)  # 4 frames per second: every fourth frame
    torch.testing.assert_close(x[:, :, ::4], batch.x[:, :, ::4])
    torch.testing.assert_close(x[:, :, 2], (batch.x[:, :, 0] + batch.x[:, :, 4]) / 2)
    same = replace(batch, dt=torch.full((2,), 1.0))
    assert torch.equal(corrupted(same, "rate", 5), same.x)


def test_no_success_is_claimed_and_seeds_differ() -> None:
    batch = make_batch(n=4)
    for kind in KINDS:
        assert not corruption(None, batch, kind=kind).found.any()  # type: ignore[arg-type]
    assert not torch.equal(corrupted(batch, "jitter"), corrupted(batch, "jitter", seed=1))
