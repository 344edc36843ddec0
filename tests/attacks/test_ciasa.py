"""CIASA: clean bone lengths, budgets, localised attacks, and a smooth perturbation."""

from dataclasses import replace

import pytest
import torch
from conftest import Linear, linear_case, make_batch

from skeleton_adv.attacks.ciasa import ciasa, free_joints, outwards, realignment, roughness
from skeleton_adv.attacks.losses import margin
from skeleton_adv.constraints import Ball
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import NTU25, OPENPOSE18, SKELETONS


def largest_change(x: torch.Tensor, batch: SkeletonBatch) -> float:
    change = bone_lengths(x.double(), batch.skeleton) - bone_lengths(batch.x.double(), batch.skeleton)
    return float(change[bones_exist(batch)].abs().max())


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
@pytest.mark.parametrize("targeted", [False, True])
def test_bones_keep_their_lengths_inside_the_budget(norm: str, targeted: bool) -> None:
    """Clips are float32 and 3 m from the camera, as saved clips are."""
    batch = make_batch(n=6, dtype=torch.float32)
    batch = replace(batch, x=torch.where(batch.movable, batch.x + 3, 0))
    model = Linear(batch)
    y = model(batch.x).argmax(dim=1)
    batch = batch.with_labels((y + 1) % 5 if targeted else y)
    eps = 0.3 if norm == "l2" else 0.02
    result = ciasa(model, batch, targeted=targeted, norm=norm, eps=eps, steps=5, step=eps / 3)  # type: ignore[arg-type]
    assert largest_change(result.x_adv, batch) < 1e-6
    limit = Ball(norm, eps).on(batch)  # type: ignore[arg-type]
    size = limit.deviation(result.x_adv).amax(dim=1)
    assert (size <= eps + 1e-6).all() and (size > 0.1 * eps).all()
    before, after = (margin(model(x), batch.y, targeted) for x in (batch.x, result.x_adv))
    assert (after < before).all()


def test_realignment_keeps_a_turned_body_and_translates_what_hangs_below() -> None:
    batch = make_batch(n=2, m=1)
    align = realignment(batch, free_joints(batch, Ball().of(batch)))
    shift = torch.where(batch.movable, torch.full_like(batch.x, 0.1), 0)
    torch.testing.assert_close(align(shift), shift)  # a moved body has its bone lengths
    only = torch.zeros_like(batch.x)
    only[:, 0, :, 8] = 0.05  # the right shoulder
    moved = align(only)
    assert largest_change(batch.x + moved, batch) < 1e-12
    below = {8}
    for joint, parent in outwards(NTU25):
        if parent in below:
            below.add(joint)
    others = [joint for joint in range(25) if joint not in below]
    assert below == {8, 9, 10, 11, 23, 24}
    assert moved[1, :, :, 8].any() and moved[1, :, :, 9].any() and not moved[:, :, :, others].abs().gt(1e-12).any()


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=lambda skeleton: skeleton.name)
def test_bones_go_outwards_from_the_root(skeleton: object) -> None:
    known = {skeleton.root}  # type: ignore[attr-defined]
    for joint, parent in outwards(skeleton):  # type: ignore[arg-type]
        assert parent in known and joint not in known
        known.add(joint)
    assert len(known) == skeleton.num_joints  # type: ignore[attr-defined]


def test_a_localised_attack_moves_whole_limbs_only() -> None:
    model, batch = linear_case(n=4)
    arm = [8, 9, 10, 11, 23, 24]
    result = ciasa(model, batch, eps=0.05, steps=5, joints=[*arm, 12])  # the left hip may move, the knee below may not
    assert set((result.x_adv != batch.x).nonzero()[:, 3].tolist()) == set(arm)
    assert largest_change(result.x_adv, batch) < 1e-9
    assert ciasa(model, batch, eps=0.05, steps=5, joints=arm).x_adv.equal(result.x_adv)
    still = ciasa(
        model, batch, eps=0.05, steps=5, joints=[*arm, 12], joint_eps={"left_hip": 0.0, "right_hand_tip": 0.0}
    )
    assert set((still.x_adv != batch.x).nonzero()[:, 3].tolist()) == {24}  # the other thumb, all else bears the tip


def test_scores_do_not_move_in_images() -> None:
    model, batch = linear_case(n=4, skeleton=OPENPOSE18)
    result = ciasa(model, batch, steps=3)
    assert torch.equal(result.x_adv[:, 2], batch.x[:, 2]) and (result.x_adv != batch.x).any()
    assert largest_change(result.x_adv, batch) < 1e-9


def test_smoothness_lowers_the_second_difference() -> None:
    model, batch = linear_case(n=4, t=16)
    rough, smooth = (
        roughness(ciasa(model, batch, eps=0.05, steps=10, smoothness=weight).x_adv - batch.x, batch.movable)
        for weight in (0.0, 10.0)
    )
    assert (smooth < 0.5 * rough).all()
    ramp = torch.arange(16, dtype=torch.float64).view(1, 1, 16, 1, 1).expand_as(batch.x)
    torch.testing.assert_close(roughness(ramp, batch.movable), torch.zeros(4, dtype=torch.float64))
    still = batch.mask.flatten(1).all(dim=1)
    torch.testing.assert_close(
        roughness(ramp**2, batch.movable)[still], torch.full_like(batch.x[still, 0, 0, 0, 0], 4.0)
    )
