"""Constraints, compared with closed forms, and laws for any body."""

import itertools

import pytest
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.constraints import BoneLength, Constraint, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import bone_lengths, length

ALL: list[Constraint] = [BoneLength(), JointAngle(), Speed(), Speed(reading="velocity"), Speed(floor=0.2)]
each = pytest.mark.parametrize("constraint", ALL, ids=lambda c: f"{c.name}-{getattr(c, 'reading', '')}")


def turned(x: Tensor, angle: float = 0.7) -> Tensor:
    """x rotated about an oblique axis and translated."""
    axis = torch.tensor([1.0, 2.0, -0.5], dtype=x.dtype)
    axis = angle * axis / axis.norm()
    skew = torch.zeros(3, 3, dtype=x.dtype)
    skew[0, 1], skew[0, 2], skew[1, 2] = -axis[2], axis[1], -axis[0]
    matrix = torch.linalg.matrix_exp(skew - skew.T)
    return torch.einsum("dc,nctvm->ndtvm", matrix, x) + 0.3


@each
def test_clean_clips_satisfy_everything(constraint: Constraint, batch: SkeletonBatch) -> None:
    limits = constraint.on(batch)
    assert limits.measure(batch.x).abs().max() == 0
    assert constraint.violation(batch.x, batch).abs().max() == 0
    assert constraint.satisfied(batch.x, batch).all()


@each
def test_absent_joints_do_not_count(constraint: Constraint, batch: SkeletonBatch) -> None:
    far = torch.where(batch.mask, batch.x, batch.x + 5)
    assert constraint.violation(far, batch).abs().max() == 0
    assert constraint.satisfied(far, batch).all()


@each
def test_gradient_of_the_violation(constraint: Constraint) -> None:
    batch = make_batch(n=2, t=3)
    rng = torch.Generator().manual_seed(1)
    x = batch.x + 0.05 * torch.randn(batch.x.shape, generator=rng, dtype=batch.x.dtype)
    assert constraint.violation(x, batch).max() > 0
    limits = constraint.on(batch)
    assert torch.autograd.gradcheck(limits.violation, x.requires_grad_(), atol=1e-5)


@each
def test_gradient_is_finite_at_the_clean_clip(constraint: Constraint, batch: SkeletonBatch) -> None:
    x = batch.x.clone().requires_grad_()
    constraint.on(batch).violation(x).sum().backward()
    assert x.grad is not None and x.grad.abs().max() == 0


def test_length_has_gradient_zero_at_zero() -> None:
    vectors = torch.zeros(2, 3, 4, requires_grad=True)
    (1e30 * length(vectors)).sum().backward()
    assert vectors.grad is not None and (vectors.grad == 0).all()


def test_bones_are_invariant_to_rigid_motion_but_not_to_scale(batch: SkeletonBatch) -> None:
    bone = BoneLength(eps=0.01)
    assert bone.on(batch).measure(turned(batch.x)).max() < 1e-12
    limits = bone.on(batch)
    scaled = limits.measure(1.07 * batch.x)[limits.exists]
    torch.testing.assert_close(scaled, torch.full_like(scaled, 0.07), rtol=2e-3, atol=0)
    assert bone.satisfied(1.0099 * batch.x, batch).all()
    assert not bone.satisfied(1.0101 * batch.x, batch).any()


def test_speeds_are_invariant_to_rigid_motion_but_not_to_scale(batch: SkeletonBatch) -> None:
    speed, velocity = Speed(), Speed(reading="velocity")
    assert speed.on(batch).measure(turned(batch.x)).max() < 1e-12
    assert velocity.on(batch).measure(turned(batch.x)).max() > 0.5  # a rotation changes directions
    assert speed.satisfied(1.0999 * batch.x, batch).all()
    assert not speed.satisfied(1.101 * batch.x, batch).any()
    limits = velocity.on(batch)
    doubled = limits.measure(2 * batch.x)[limits.exists]
    still = limits.scale[limits.exists] - batch.skeleton.speed_floor
    torch.testing.assert_close(doubled, still / (still + batch.skeleton.speed_floor))


def test_speed_floor_is_in_metres_per_second() -> None:
    batch = make_batch(n=1, t=5, m=1)
    still = SkeletonBatch(
        batch.x[:, :, :1].expand(-1, -1, 5, -1, -1), batch.y, batch.mask, batch.index, batch.dt, batch.skeleton
    )
    moving = still.x + torch.arange(5).view(1, 1, 5, 1, 1) * torch.tensor([0.003, 0, 0]).view(1, 3, 1, 1, 1)
    # 3 mm per frame at 30 frames per second is 0.09 m/s, and the clean body does not move.
    assert Speed(floor=0.0901).satisfied(moving, still).all()
    assert not Speed(floor=0.0898).satisfied(moving, still).any()
    assert not Speed().satisfied(moving, still).any()


def test_angle_estimate_by_hand(batch: SkeletonBatch) -> None:
    """A displacement d of one joint changes each of its triples by d divided by the lengths of the adjacent bones."""
    moved, joint, d = batch.x.clone(), 5, 0.02
    moved[:, 1, :, joint] += d
    limits = JointAngle().on(batch)
    got = limits.measure(moved).unflatten(1, (8, 2, 22))
    clean = batch.x

    def bone(a: int, b: int) -> Tensor:
        return (clean[:, :, :, a] - clean[:, :, :, b]).norm(dim=1) + 1e-5

    for number, (end, middle, other) in enumerate(batch.skeleton.angles):
        expected = torch.zeros(4, 8, 2, dtype=clean.dtype)
        if joint in (end, middle):
            expected += d / bone(end, middle)
        if joint in (other, middle):
            expected += d / bone(other, middle)
        there = batch.mask[:, 0, :, [end, middle, other]].all(dim=2)
        torch.testing.assert_close(got[..., number], torch.where(there, expected, 0))


def test_slack_allows_only_rounding() -> None:
    batch = make_batch(n=1, m=1)
    tight = BoneLength(eps=0)
    moved = batch.x.clone()
    joint = batch.skeleton.joints.index("head")
    parent = batch.skeleton.parents[joint]
    along = batch.x[:, :, :, joint] - batch.x[:, :, :, parent]
    unit = along / along.norm(dim=1, keepdim=True)
    for step, fine in ((0.9e-6, True), (1.2e-6, False)):
        moved[:, :, :, joint] = batch.x[:, :, :, joint] + step * unit
        assert bool(tight.satisfied(moved, batch).item()) is fine


def test_bone_lengths_by_hand(batch: SkeletonBatch) -> None:
    got = bone_lengths(batch.x, batch.skeleton)
    for number, (child, parent) in itertools.islice(enumerate(batch.skeleton.bones), 0, None, 5):
        expected = (batch.x[:, :, :, child] - batch.x[:, :, :, parent]).norm(dim=1)
        torch.testing.assert_close(got[..., number], expected)


@pytest.mark.parametrize("build", [BoneLength, JointAngle, Speed])
def test_a_negative_tolerance_is_refused(build: type[Constraint]) -> None:
    with pytest.raises(SettingError, match=r"constraint\.\w+\.eps=-3 is out of range"):
        build(eps=-3)  # type: ignore[call-arg]
