"""Bounds on displacements within limits: closed forms, no feasible clip beyond them, and clips near them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from conftest import make_batch
from jobs import job_of

from skeleton_adv.certificates.body import Bones, Yaw, YawAnd
from skeleton_adv.certificates.correlated import Correlated
from skeleton_adv.certificates.largest import check_limits, largest, length_of
from skeleton_adv.certificates.reach import longest, sizes_of
from skeleton_adv.certificates.space import Joints, Offset
from skeleton_adv.constraints import (
    AngleTurn,
    Ball,
    BoneDirection,
    BoneFactor,
    BoneLength,
    Constraint,
    JointAngle,
    RootPath,
    Speed,
    View,
)
from skeleton_adv.constraints.projection import Projection
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, Skeleton
from skeleton_adv.core.tree import rebuilt
from skeleton_adv.core.turning import first_root, turned

CHAIN = Skeleton("chain", ("hip", "knee", "foot"), (0, 0, 1), ((0, 1, 2),), 0)
T = 8
BODIES = ("paper", "loose", "paper_true", "loose_true")


def chain(lengths: tuple[float, float] = (0.4, 0.5)) -> SkeletonBatch:
    """A straight chain of two bones that does not move."""
    x = torch.zeros(1, 3, T, 3, 1, dtype=torch.float64)
    x[:, 0] = torch.tensor([0.0, lengths[0], sum(lengths)]).double().view(1, 1, 3, 1)
    mask = torch.ones(1, 1, T, 3, 1, dtype=torch.bool)
    return SkeletonBatch(x, torch.zeros(1).long(), mask, torch.zeros(1).long(), torch.full((1,), 0.03), CHAIN)


def limits_of(option: str) -> Mapping[str, Constraint]:
    found: Mapping[str, Constraint] = vars(job_of([f"constraint={option}"]).task)["constraint"]
    return found


def l2(x: torch.Tensor, batch: SkeletonBatch) -> torch.Tensor:
    length: torch.Tensor = (x.double() - batch.x.double()).flatten(1).norm(dim=1)
    return length


def satisfied(constraints: Mapping[str, Constraint], x: torch.Tensor, batch: SkeletonBatch) -> torch.Tensor:
    return torch.stack([one.satisfied(x, batch) for one in constraints.values()]).all(dim=0)


def far(constraints: Mapping[str, Constraint], batch: SkeletonBatch, rounds: int = 12) -> torch.Tensor:
    """Feasible clips far from the clean ones: displacements are lengthened and projected in turn."""
    projection = Projection(constraints, batch)
    generator = torch.Generator().manual_seed(0)
    slow = torch.randn(batch.x[:, :, :1].shape, generator=generator).to(batch.x).expand_as(batch.x)
    x = projection.project(batch.x + 0.02 * slow * batch.movable)
    for _ in range(rounds):
        longer = projection.project(batch.x + 1.5 * (x - batch.x))
        x = torch.where((l2(longer, batch) > l2(x, batch)).view(-1, 1, 1, 1, 1), longer, x)
    return x


def edges(constraints: Mapping[str, Constraint], batch: SkeletonBatch) -> Iterator[torch.Tensor]:
    """Feasible clips at the edge of the set, in random directions: offsets of joints, of the body, and others."""
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 1, 20, 1), (3, 1, 1, 1), (3, batch.x.shape[2], 20, 1)):
        direction = torch.randn(len(batch), *shape, generator=generator).to(batch.x) * batch.movable
        low, high = torch.zeros(2, len(batch), dtype=torch.float64)
        high += 1.0
        for _ in range(30):
            middle = (low + high) / 2
            inside = satisfied(constraints, batch.x + middle.view(-1, 1, 1, 1, 1) * direction, batch)
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        yield batch.x + low.view(-1, 1, 1, 1, 1) * direction


def test_the_angle_estimate_of_a_chain_has_a_closed_form_that_is_attained() -> None:
    """The sum ``s_a / a + (1 / a + 1 / b) s_b + s_c / b`` is longest if the longer end moves alone."""
    batch, eps = chain(), 0.1
    constraints = {"bone": BoneLength(0.01), "angle": JointAngle(eps), "speed": Speed(0.1)}
    (bound,) = longest(constraints, batch).tolist()
    assert bound == pytest.approx(eps * 0.5 * math.sqrt(T), rel=1e-3)
    turn = 2 * math.asin(eps / 2 * 0.9999)  # the chord of this turn is eps bones long
    x = batch.x.clone()
    x[:, 0, :, 2], x[:, 1, :, 2] = 0.4 + 0.5 * math.cos(turn), 0.5 * math.sin(turn)
    assert satisfied(constraints, x, batch) and l2(x, batch) == pytest.approx(bound, rel=1e-3)


def test_true_limits_of_a_straight_chain_have_a_closed_form_that_is_attained() -> None:
    """All bones turn to one side and get longer, and the root moves the same way, so displacements add up."""
    batch, eps, angle, root = chain(), 0.03, 0.2, 0.1
    constraints = {
        "bone": BoneLength(eps),
        "turn": AngleTurn(angle),
        "speed": Speed(0.1),
        "direction": BoneDirection(angle),
        "root": RootPath(root),
    }
    change = torch.tensor([(1 + eps) * math.cos(angle) - 1, (1 + eps) * math.sin(angle), 0.0]).double()
    chord = float(change.norm())
    each = [root, root + 0.4 * chord, root + 0.9 * chord]
    (bound,) = longest(constraints, batch).tolist()
    assert bound == pytest.approx(math.sqrt(T * sum(size**2 for size in each)), rel=1e-3)
    moved = torch.tensor(each).double() * (change / chord)[:, None]
    x = batch.x + moved.view(1, 3, 1, 3, 1)
    assert satisfied(constraints, x, batch) and l2(x, batch) == pytest.approx(bound, rel=1e-3)


@pytest.mark.parametrize("option", BODIES)
def test_no_feasible_clip_is_beyond_the_bound(option: str) -> None:
    """On bodies with a joint that is missing in a frame."""
    batch, constraints = make_batch(n=3, t=4, m=1, skeleton=KINECT20), limits_of(option)
    bound = longest(constraints, batch)
    for x in edges(constraints, batch):
        assert satisfied(constraints, x, batch).all() and bound.isfinite().all()
        assert (l2(x, batch) <= bound).all() and (l2(x, batch) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("option", BODIES)
def test_some_feasible_clip_of_a_body_is_near_the_bound(option: str) -> None:
    batch, constraints = make_batch(n=3, t=4, m=1, skeleton=KINECT20), limits_of(option)
    x = far(constraints, batch)
    share = l2(x, batch) / longest(constraints, batch)
    assert satisfied(constraints, x, batch).all() and (share <= 1).all() and share.max() > 0.4, share


@pytest.mark.parametrize("reading", ["speed", "velocity"])
def test_speeds_carry_a_limit_from_one_frame_to_the_others(reading: str) -> None:
    """A joint that does not move may not depart from its first position; limits that do not bound a joint say so."""
    batch = chain()
    speed, root = Speed(0.1, reading=reading, floor=0.0), RootPath(0.1)  # type: ignore[arg-type]
    assert longest({"speed": speed}, batch).isinf().all() and longest({"root": root}, batch).isinf().all()
    moving = replace(batch, x=batch.x + 0.01 * torch.arange(T).view(1, 1, T, 1, 1) * batch.mask)
    loose = longest({"bone": BoneLength(0.0), "root": root}, moving)
    tied = longest({"bone": BoneLength(0.0), "root": root, "speed": speed}, moving)
    assert (tied == loose).all() if reading == "speed" else (tied <= loose).all()
    angle = {"angle": JointAngle(0.1)}
    assert (longest({**angle, "speed": speed}, batch) <= longest(angle, batch)).all()


def test_multipliers_tighten_the_bound_of_a_body() -> None:
    batch, limits = make_batch(n=2, t=2, m=1, skeleton=KINECT20), {"angle": JointAngle(0.1)}
    batch = replace(batch, mask=torch.ones_like(batch.mask))
    caps = sizes_of(limits, batch).caps().square().sum(dim=1).sqrt()
    assert (longest(limits, batch) < 0.95 * caps).all()
    double = longest(limits, batch, 4 * torch.ones_like(batch.x[:, 0]))
    assert torch.allclose(double, 2 * longest(limits, batch), rtol=1e-6)


def test_balls_factors_and_views_have_their_own_bounds() -> None:
    batch = make_batch(n=3, t=4)
    joints = batch.mask.flatten(1).sum(dim=1)
    assert torch.allclose(longest({"ball": Ball("l2", 0.2)}, batch), torch.full((3,), 0.2).double(), rtol=1e-4)
    assert torch.allclose(longest({"ball": Ball("rms", 0.2)}, batch), 0.2 * joints.sqrt().double(), rtol=1e-4)
    assert torch.allclose(longest({"ball": Ball("linf", 0.2)}, batch), 0.2 * (3 * joints).sqrt().double(), rtol=1e-4)
    for sign in (-1, 1):
        factors = torch.full((3, 2, 24), 1 + 0.1 * sign).double()
        assert (l2(rebuilt(batch, factors), batch) <= longest({"bone": BoneFactor(0.1)}, batch)).all()
    x = turned(batch, torch.full((3,), math.radians(10)).double(), first_root(batch), "y")
    assert torch.allclose(l2(x, batch), longest({"view": View(10.0)}, batch), rtol=1e-4)


def test_parameters_of_bodies_have_exact_bounds() -> None:
    batch = make_batch(n=2, t=4, m=1, skeleton=KINECT20)
    bones, view = {"bone": BoneFactor(0.1)}, {"view": View(10.0)}
    bound = largest(Bones(), bones, batch)
    assert torch.allclose(bound, torch.full((2,), -math.sqrt(19) * math.log(0.9)).double())
    smallest = rebuilt(batch, torch.full((2, 1, 19), 0.9).double())
    assert torch.allclose(length_of(Bones(), bones, batch, smallest), bound)
    x = turned(batch, torch.full((2,), -math.radians(10)).double(), first_root(batch), "y")
    for space, unit in ((Yaw(), 1.0), (YawAnd(Bones(), 2.0), 2.0)):
        bound = largest(space, view, batch)
        assert torch.allclose(bound, torch.full((2,), math.radians(10) / unit).double())
        assert torch.allclose(length_of(space, view, batch, x), bound)
    assert torch.allclose(largest(YawAnd(Bones(), 2.0), bones, batch), largest(Bones(), bones, batch))


@pytest.mark.parametrize("reading", ["speed", "velocity"])
def test_no_feasible_clip_is_beyond_the_mahalanobis_bound(reading: str) -> None:
    """With independent noise, it is the l2 bound; with correlated noise, it is at most that of jitter."""
    batch = make_batch(n=3, t=6, m=1, skeleton=KINECT20)
    constraints = dict(limits_of("paper")) | {"speed": Speed(0.1, reading=reading)}  # type: ignore[arg-type]
    found = [*edges(constraints, batch)]
    for space in (Correlated(2.0, 0.05), Correlated(2.0, 0.05, {KINECT20.joints[0]: 3.0})):
        bound = largest(space, constraints, batch)
        assert all((length_of(space, constraints, batch, x) <= bound).all() for x in found) and bound.isfinite().all()
    alone = largest(Correlated(2.0, 1.0), constraints, batch)
    assert torch.allclose(alone, longest(constraints, batch), rtol=1e-6)
    jitter = longest(constraints, batch) / math.sqrt(0.05)
    assert (largest(Correlated(2.0, 0.05), constraints, batch) <= 1.0001 * jitter).all()
    assert torch.allclose(length_of(Joints(), constraints, batch, found[0]), l2(found[0], batch))


def test_a_space_that_says_nothing_of_the_limits_is_refused() -> None:
    paper, bones, view = limits_of("paper"), limits_of("bone10"), limits_of("yaw10")
    for space in (Joints(), Correlated(), YawAnd(Joints(), 1.0, about_root=False)):
        check_limits(space, "joints", paper, "paper")
    check_limits(Bones(), "bones", bones, "bone10")
    check_limits(Yaw(), "yaw", view, "yaw10")
    for other, limits in ((Bones(), paper), (Yaw(), bones), (Bones(), view), (Offset(), paper)):
        with pytest.raises(SettingError, match="certifies no clip within constraint=here"):
            check_limits(other, "bones", limits, "here")
