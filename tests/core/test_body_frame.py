"""The frame of the body."""

import math

import torch
from conftest import make_batch

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.body_frame import headings, to_body, to_camera, yaw
from skeleton_adv.core.skeleton import KINECT20, OPENPOSE18, SKELETONS


def turned(batch: SkeletonBatch, angle: float) -> SkeletonBatch:
    """The same clips, turned about the vertical axis."""
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]], dtype=batch.x.dtype)
    x = torch.einsum("dc,nctvm->ndtvm", rotation, batch.x)
    return SkeletonBatch(x, batch.y, batch.mask, batch.index, batch.dt, batch.skeleton)


def test_the_left_hip_is_on_the_first_axis_of_the_body() -> None:
    for skeleton in (KINECT20, SKELETONS["ntu25"]):
        batch = make_batch(n=4, skeleton=skeleton)
        turn = yaw(batch)
        left, right = (skeleton.joints.index(f"{side}_hip") for side in ("left", "right"))
        across = to_body(batch.x[:, :, :, [left]] - batch.x[:, :, :, [right]], turn, batch)[:, :, 0, 0]  # (N, 3, M)
        exists = batch.mask[:, 0, 0, left]
        torch.testing.assert_close(across[:, 2][exists], torch.zeros_like(across[:, 2][exists]), atol=1e-12, rtol=0)
        assert (across[:, 0][exists] > 0).all()


def test_a_turned_body_has_the_same_vectors_in_its_own_frame() -> None:
    batch = make_batch(n=4)
    other = turned(batch, 0.7)
    torch.testing.assert_close(to_body(batch.x, yaw(batch), batch), to_body(other.x, yaw(other), other))
    for one in (batch, other):
        torch.testing.assert_close(to_body(one.x, headings(one)[0], one), to_body(batch.x, headings(batch)[0], batch))


def test_camera_and_body_are_inverse() -> None:
    batch = make_batch(n=4)
    vectors = torch.randn(3, 8, 25, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back = to_body(to_camera(vectors, yaw(batch), batch), yaw(batch), batch)
    torch.testing.assert_close(back, vectors[None, ..., None].expand_as(back))


def test_the_first_frame_that_shows_both_hips_counts() -> None:
    batch = make_batch(n=2, m=1)
    left = batch.skeleton.joints.index("left_hip")
    mask = batch.mask.clone()
    mask[0, 0, :3, left] = False
    mask[1, 0, :, left] = False
    hidden = SkeletonBatch(batch.x, batch.y, mask, batch.index, batch.dt, batch.skeleton)
    torch.testing.assert_close(yaw(hidden)[0], headings(batch)[0][0, 3])
    assert yaw(hidden)[1].tolist() == [[1.0, 0.0]]


def test_joints_in_an_image_are_not_turned() -> None:
    batch = make_batch(n=2, skeleton=OPENPOSE18)
    vectors = torch.randn(2, 8, 18, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = to_camera(vectors, yaw(batch), batch)
    assert moved.shape == batch.x.shape and not moved[:, 2].any()
    torch.testing.assert_close(moved[0, :2, ..., 0], vectors)
