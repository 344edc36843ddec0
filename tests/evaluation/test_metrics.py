"""Measures, compared with closed forms."""

import math

import torch
from conftest import make_batch

from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import joint_angles
from skeleton_adv.evaluation.metrics import angle_change, kinetic_energy_change, mean_and_max, measure

CONSTRAINTS = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}


def test_distances() -> None:
    batch = make_batch(n=2, m=1)
    moved = batch.x.clone()
    moved[0, 0, 1, 3, 0] += 0.3
    moved[0, 2, 4, 2, 0] -= 0.4
    columns = measure(moved, batch, CONSTRAINTS)
    joints = batch.mask[0].sum().item()
    assert math.isclose(columns["l2"][0], 0.5) and columns["l2"][1] == 0
    assert math.isclose(columns["linf"][0], 0.4)
    assert math.isclose(columns["rms_mm"][0], 500 / math.sqrt(joints))
    assert columns["feasible"].tolist() == [False, True]


def test_kinetic_energy_of_a_scaled_motion(batch: SkeletonBatch) -> None:
    change = kinetic_energy_change(1.07 * batch.x, batch)
    torch.testing.assert_close(change, torch.full_like(change, 1.07**2 - 1))


def test_kinetic_energy_of_a_clip_without_motion_is_unknown() -> None:
    batch = make_batch(n=1, t=1)
    assert kinetic_energy_change(batch.x, batch).isnan().all()


def test_true_angle_of_a_bent_elbow() -> None:
    """A rotation of the forearm by 0.3 rad in the plane of the arm changes only the angle at the elbow, by 0.3 rad."""
    batch = make_batch(n=1, t=1, m=1)
    names = batch.skeleton.joints
    shoulder, elbow = names.index("left_shoulder"), names.index("left_elbow")
    a = batch.x[0, :, 0, shoulder, 0] - batch.x[0, :, 0, elbow, 0]
    for name in ("left_wrist", "left_hand", "left_hand_tip", "left_thumb"):
        joint = names.index(name)
        if name == "left_wrist":
            b = batch.x[0, :, 0, joint, 0] - batch.x[0, :, 0, elbow, 0]
            axis = torch.linalg.cross(a, b)
            axis = axis / axis.norm()
        arm = batch.x[0, :, 0, joint, 0] - batch.x[0, :, 0, elbow, 0]
        cos, sin = math.cos(0.3), math.sin(0.3)
        arm = arm * cos + torch.linalg.cross(axis, arm) * sin + axis * (axis @ arm) * (1 - cos)
        batch.x[0, :, 0, joint, 0] += 0  # the clean clip does not change
        if name == "left_wrist":
            moved = batch.x.clone()
        moved[0, :, 0, joint, 0] = batch.x[0, :, 0, elbow, 0] + arm
    clean_angle, _ = joint_angles(batch.x, batch)
    change, exists = angle_change(moved, batch)
    bent = batch.skeleton.angles.index((shoulder, elbow, names.index("left_wrist")))
    wrapped = clean_angle[0, 0, bent, 0] + 0.3
    expected = 0.3 if wrapped <= math.pi else 2 * (math.pi - clean_angle[0, 0, bent, 0].item()) - 0.3
    others = [i for i in range(len(batch.skeleton.angles)) if i != bent]
    assert exists.all()
    assert math.isclose(change[0, bent], abs(expected), rel_tol=1e-9)
    assert change[0, others].max() < 1e-7


def test_mean_and_max_include_only_existing_entries() -> None:
    values = torch.tensor([[1.0, 5.0, 9.0], [2.0, 2.0, 2.0]])
    exists = torch.tensor([[True, True, False], [False, False, False]])
    mean, largest = mean_and_max(values, exists)
    assert mean[0] == 3 and largest[0] == 5
    assert mean[1].isnan() and largest[1].isnan()
