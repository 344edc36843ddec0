"""Projection on several constraints: feasible, near, and the same for a clip in any batch."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_batch
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from torch import Tensor
from torch.autograd.functional import jacobian

from skeleton_adv.constraints import (
    AngleTurn,
    BoneDirection,
    BoneFactor,
    BoneLength,
    Constraint,
    JointAngle,
    RigidBone,
    RootPath,
    Speed,
)
from skeleton_adv.constraints.projection import TIGHTER, WEIGHT, Projection, project
from skeleton_adv.constraints.split import Split, to_weighted_sum
from skeleton_adv.constraints.turns import to_angle
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, Skeleton
from skeleton_adv.core.tree import rebuilt

PAPER: dict[str, Constraint] = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}
STRICT: dict[str, Constraint] = PAPER | {"speed": Speed(reading="velocity", floor=0.05)}
TURNS: dict[str, Constraint] = {"turn": AngleTurn(), "direction": BoneDirection(), "root": RootPath(0.02)}
TRUE = {"bone": BoneLength(), "speed": Speed(), **TURNS}
RIGID: dict[str, Constraint] = {"rigid": RigidBone(), "angle": JointAngle(), "speed": Speed()}
SETS = {"paper": PAPER, "velocity and floor": STRICT, "true": TRUE, "rigid": RIGID}
each_set = pytest.mark.parametrize("constraints", SETS.values(), ids=list(SETS))
ARM = Skeleton("arm", ("shoulder", "elbow", "hand"), (0, 0, 1), center=0, angles=((0, 1, 2),))


def noisy(batch: SkeletonBatch, size: float = 0.02, seed: int = 0) -> Tensor:
    noise = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.where(batch.movable, batch.x + size * noise.to(batch.x), batch.x)


def clips(n: int = 4, frames: int = 12, skeleton: Skeleton = NTU25) -> SkeletonBatch:
    return make_batch(n, frames, 2, skeleton).to(dtype=torch.float32)


@each_set
def test_projected_clips_are_feasible_as_saved_and_are_not_moved_again(constraints: Mapping[str, Constraint]) -> None:
    batch = clips()
    x = project(constraints, noisy(batch), batch)
    assert x.dtype == torch.float32 and (x != batch.x).flatten(1).any(dim=1).all()
    for constraint in constraints.values():
        assert constraint.satisfied(x, batch).all()
    assert torch.equal(project(constraints, x, batch), x)
    assert torch.equal(project(constraints, batch.x, batch), batch.x)


@pytest.mark.parametrize("constraints", [PAPER, STRICT, TRUE], ids=[*SETS][:3])
def test_absent_joints_and_forbidden_entries_stay(constraints: Mapping[str, Constraint]) -> None:
    batch = clips()
    assert not batch.mask.all()
    limited = batch.limited(joints=[3, 7, 11], frames="2:9")
    x = project(constraints, noisy(batch, 0.05), limited)
    assert torch.equal(x[~limited.movable], batch.x[~limited.movable])
    assert (x != batch.x).flatten(1).any(dim=1).all()
    assert all(constraint.satisfied(x, batch).all() for constraint in constraints.values())


def test_a_clip_does_not_depend_on_its_mates() -> None:
    batch, other = clips(), clips()
    x, mates = noisy(batch), noisy(other, 0.5, seed=1)
    mates[1] = x[1]
    assert torch.equal(project(PAPER, x, batch)[1], project(PAPER, mates, other)[1])


def arm(seed: int) -> SkeletonBatch:
    """Two frames of a forearm and an upper arm; the hand moves by about 5 cm."""
    rng = torch.Generator().manual_seed(seed)
    first = torch.randn(1, 3, 1, 3, 1, generator=rng, dtype=torch.float64).mul(0.2)
    x = torch.cat((first, first + 0.03 * torch.randn(first.shape, generator=rng, dtype=torch.float64)), dim=2)
    one = torch.zeros(1, dtype=torch.long)
    return SkeletonBatch(x, one, torch.ones(1, 1, 2, 3, 1, dtype=torch.bool), one, torch.full((1,), 1 / 30.0), ARM)


@pytest.mark.parametrize("seed", range(2))
def test_it_is_as_near_as_the_best_of_many_starts_of_slsqp(seed: int) -> None:
    batch = arm(seed)
    z = noisy(batch, 0.02, seed)
    limits = [constraint.on(batch) for constraint in PAPER.values()]

    def room(x: Tensor) -> Tensor:
        return torch.cat([(limit.tolerance - limit.deviation(x.view_as(batch.x))).flatten() for limit in limits])

    found = []
    for start in range(6):
        ended = minimize(
            lambda flat: (((flat - z.flatten().numpy()) ** 2).sum(), 2 * (flat - z.flatten().numpy())),
            noisy(batch, 0.003, 100 + start).flatten().numpy(),
            jac=True,
            constraints={
                "type": "ineq",
                "fun": lambda flat: room(torch.from_numpy(flat)).numpy(),
                "jac": lambda flat: jacobian(room, torch.from_numpy(flat)).numpy(),
            },
            method="SLSQP",
            options={"maxiter": 100, "ftol": 1e-9},
        )
        if room(torch.from_numpy(ended.x)).min() > -1e-6:
            found.append(float(np.sqrt(ended.fun)))
    ours = (project(PAPER, z, batch) - z).norm().item()
    assert len(found) > 3 and ours <= 1.05 * min(found)


def test_the_linear_system_is_solved_exactly() -> None:
    batch = clips(2)
    projection = Projection(PAPER, batch)
    y = projection.clean + 0.1
    right = WEIGHT * y + sum(split.back(split.of(y)) for split in projection._splits)
    torch.testing.assert_close(projection._system.solve(right, WEIGHT), y, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "constraint", [*STRICT.values(), *PAPER.values(), *TURNS.values(), RIGID["rigid"]], ids=lambda c: type(c).__name__
)
@pytest.mark.parametrize("skeleton", [NTU25, KINECT20], ids=lambda skeleton: skeleton.name)
def test_a_split_is_the_constraint(constraint: Constraint, skeleton: Skeleton) -> None:
    batch = make_batch(3, 6, 2, skeleton)
    split = constraint.split(batch)
    assert isinstance(split, Split)
    clean, moved = (x.transpose(3, 4) for x in (batch.x, noisy(batch)))
    torch.testing.assert_close(split.nearest(split.of(clean)), split.of(clean), rtol=0, atol=1e-12)
    vectors = split.of(moved)
    inside = split.nearest(vectors)
    torch.testing.assert_close(split.nearest(inside), inside, rtol=0, atol=1e-12)
    left, right = (split.of(moved) * inside).sum(), (moved * split.back(inside)).sum()
    assert left.item() == pytest.approx(right.item(), rel=1e-12)
    satisfied = constraint.satisfied(noisy(batch), batch)
    unmoved = (inside - vectors).abs().flatten(1).amax(dim=1) < 1e-9
    assert torch.equal(satisfied, unmoved) and not satisfied.all()


def test_tighter_tolerances_are_inside() -> None:
    batch = make_batch(3, 6, 2, NTU25)
    for constraint in (*PAPER.values(), *TURNS.values(), RIGID["rigid"]):
        split, wide = constraint.split(batch, TIGHTER), constraint.split(batch)
        assert split is not None and wide is not None
        inside = split.nearest(split.of(noisy(batch).transpose(3, 4)))
        torch.testing.assert_close(wide.nearest(inside), inside, rtol=0, atol=1e-15)


def test_the_nearest_lengths_with_a_limited_weighted_sum_are_those_of_a_solver() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        sizes, weights, largest = rng.uniform(0, 1, 3), rng.uniform(0.1, 5, 3), float(rng.uniform(0.05, 2))
        ours = to_weighted_sum(torch.from_numpy(sizes), torch.from_numpy(weights), largest).numpy()
        best = minimize(
            lambda k, sizes=sizes: ((k - sizes) ** 2).sum(),
            np.zeros(3),
            bounds=[(0, None)] * 3,
            constraints={"type": "ineq", "fun": lambda k, w=weights, e=largest: e - k @ w},
            options={"ftol": 1e-14},
        )
        assert ours @ weights <= largest + 1e-12 and (ours >= 0).all()
        np.testing.assert_allclose(ours, best.x, atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_the_nearest_pair_with_a_limited_angle_is_that_of_a_search(seed: int) -> None:
    first, second = torch.randn(2, 1, 3, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    low, high = torch.tensor([[0.9]]).double(), torch.tensor([[1.1]]).double()
    ours = torch.cat(to_angle(first, second, low, high), dim=1)
    one, two = ours[:, :3], ours[:, 3:]
    angle = torch.atan2(torch.linalg.cross(one, two, dim=1).norm(dim=1), (one * two).sum(dim=1))
    assert low - 1e-9 <= angle <= high + 1e-9
    given = torch.cat((first, second), dim=1)

    def distance(parts: np.ndarray) -> float:
        """Of the pair with these directions and this angle, in any plane; lengths are the best ones."""
        axis, side = torch.linalg.qr(torch.from_numpy(parts[:6].reshape(3, 2)))[0].T
        bound = low.item() + (high - low).item() * expit(parts[6])
        other = np.cos(bound) * axis + np.sin(bound) * side
        left = [v.flatten() - (v.flatten() @ d).clamp(min=0) * d for v, d in ((first, axis), (second, other))]
        return float(sum(part.square().sum() for part in left))

    starts = np.random.default_rng(seed).normal(size=(8, 7))
    best = min(minimize(distance, start, method="BFGS").fun for start in starts)
    assert (ours - given).square().sum().item() <= best + 1e-6


def test_a_straight_joint_bends_in_some_plane() -> None:
    first = torch.tensor([0.3, 0.0, 0.0]).double().view(1, 3, 1)
    one, two = to_angle(first, -2 * first, torch.tensor([[1.0]]).double(), torch.tensor([[2.0]]).double())
    angle = torch.atan2(torch.linalg.cross(one, two, dim=1).norm(dim=1), (one * two).sum(dim=1))
    assert angle.item() == pytest.approx(2.0, abs=1e-9) and one.isfinite().all() and two.isfinite().all()


def test_the_nearest_lengths_of_a_rigid_bone_are_those_of_a_solver() -> None:
    rng = np.random.default_rng(0)
    for spread in (0.0, 0.02):
        clean, found = rng.uniform(0.2, 0.4, 8), rng.uniform(0.2, 0.4, 8)
        rigid = RigidBone(0.1)
        as_bone = [torch.from_numpy(lengths).view(1, 8, 1, 1) for lengths in (found, clean)]
        factor = rigid._nearest_factor(*as_bone, spread).item()

        def distance(f: float, clean: np.ndarray = clean, found: np.ndarray = found, spread: float = spread) -> float:
            return float((np.maximum(np.abs(found - f * clean) - spread * clean, 0) ** 2).sum())

        best = minimize_scalar(distance, bounds=(0.9, 1.1), method="bounded", options={"xatol": 1e-12})
        assert distance(factor) <= best.fun + 1e-12 and 0.9 <= factor <= 1.1


def test_one_factor_over_the_clip_is_rigid_and_one_frame_is_not() -> None:
    batch = make_batch(2, 6, 1, NTU25)
    rigid, longer = RigidBone(0.05), torch.full((2, 1, len(NTU25.bones)), 1.04).double()
    assert rigid.satisfied(rebuilt(batch, longer), batch).all() and BoneLength(0.05).satisfied(batch.x, batch).all()
    assert not RigidBone(0.03).satisfied(rebuilt(batch, longer), batch).any()
    once = batch.x.clone()
    once[:, :, 2] = rebuilt(batch, longer)[:, :, 2]
    assert BoneLength(0.05).satisfied(once, batch).all() and not rigid.satisfied(once, batch).any()


def test_turning_or_moving_the_whole_body_is_not_feasible() -> None:
    batch = make_batch(2, 6, 1, NTU25)
    upside_down = batch.x * torch.tensor([1.0, -1.0, -1.0]).double().view(1, 3, 1, 1, 1)
    assert all(c.satisfied(upside_down, batch).all() for c in (BoneLength(), Speed(), AngleTurn()))
    assert not BoneDirection().satisfied(upside_down, batch).any()
    aside = torch.where(batch.movable, batch.x + 0.06, batch.x)
    assert BoneDirection().satisfied(aside, batch).all() and not RootPath().satisfied(aside, batch).any()


def test_a_constraint_that_has_no_split_is_refused() -> None:
    with pytest.raises(SettingError, match=r"constraint\.factor: "):
        Projection({"factor": BoneFactor()}, clips(1))


def test_clips_without_joints_stay() -> None:
    batch = clips()
    batch = replace(batch, mask=torch.zeros_like(batch.mask))
    assert torch.equal(project(PAPER, batch.x + 1, batch), batch.x)
