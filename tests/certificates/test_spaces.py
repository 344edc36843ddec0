"""Spaces of smoothing noise: parameters add up exactly, and radii are sound for every change that they claim."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Linear, make_batch
from scipy.stats import binom, norm
from torch import Tensor

from skeleton_adv.certificates.body import Bones, Scale, Yaw, YawAnd
from skeleton_adv.certificates.correlated import Correlated, covariance
from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.certificates.radii import ABSTAIN, cohen
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.certificates.space import Joints, Offset, Slow, dct_basis
from skeleton_adv.certificates.spaces import INEXACT, SPACES, space_of, used
from skeleton_adv.certificates.terms import bone_counts, rigid_terms
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import bone_lengths
from skeleton_adv.core.skeleton import KINECT20, OPENPOSE18, Skeleton

BODIES = (KINECT20, OPENPOSE18)
ADD_UP = [Joints(), Offset(), Slow(3), Bones(), Scale(), Yaw(), Yaw("z"), Correlated(3.0), YawAnd(Bones(), 0.7)]


def bodies(n: int = 3, t: int = 8, skeleton: Skeleton = KINECT20, **more: Any) -> SkeletonBatch:
    """Clips with absent persons, and with joints that are missing in some frames."""
    batch = make_batch(n=n, t=t, skeleton=skeleton, **more)
    batch.mask[1, 0, :2, skeleton.root, 0] = False  # the axis passes through the first root that exists
    batch.mask[1, 0, 3:6, 7, 0] = False
    return replace(batch, x=torch.where(batch.mask, batch.x, 0))


def whole(t: int, **more: Any) -> SkeletonBatch:
    """One clip of which every joint exists."""
    batch = make_batch(n=1, t=t, m=1, skeleton=KINECT20)
    return replace(batch, mask=torch.ones_like(batch.mask), **more)


def params_of(space: Any, batch: SkeletonBatch, seed: int, size: float = 0.4) -> Tensor:
    like = space.parameters(batch)
    return size * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def flat(x: Tensor, batch: SkeletonBatch) -> Tensor:
    return (x * batch.movable).flatten(1)


@pytest.mark.parametrize("space", ADD_UP, ids=repr)
@pytest.mark.parametrize("skeleton", BODIES, ids=lambda s: s.name)
def test_parameters_add_up(space: Any, skeleton: Skeleton) -> None:
    if skeleton is OPENPOSE18 and isinstance(space, Yaw | YawAnd):
        with pytest.raises(SettingError, match="in an image"):
            space.check(skeleton, 8)
        return
    batch = bodies(skeleton=skeleton)
    a, b = params_of(space, batch, 1), params_of(space, batch, 2)
    once = replace(batch, x=space.moved(batch, a))
    assert (space.moved(once, b) - space.moved(batch, a + b)).abs().max() < 1e-12
    assert torch.equal(space.moved(batch, torch.zeros_like(a)), batch.x) or isinstance(space, YawAnd | Yaw)
    assert (space.moved(batch, torch.zeros_like(a)) - batch.x).abs().max() < 1e-15
    still = ~batch.movable
    assert torch.equal(space.moved(batch, a)[still], batch.x[still]) and (once.x - batch.x).abs().max() > 0.01


@pytest.mark.parametrize("others", [Joints(), Correlated(3.0, joint_scales={"head": 2.0})], ids=repr)
def test_a_displacement_after_a_rotation_is_one_before_it_of_the_same_length(others: Any) -> None:
    """So the sum of a change and of noise is the change of their parameters, with noise of the same distribution."""
    batch, turn = bodies(), 0.7
    space = YawAnd(others, turn, about_root=False)
    a, b = params_of(space, batch, 1), params_of(space, batch, 2)
    once = replace(batch, x=space.moved(batch, a))
    back = replace(batch, x=b[:, 1:].reshape(batch.x.shape))
    every = replace(back, mask=torch.ones_like(batch.mask))  # absent entries have parameters too, which move nothing
    own = YawAnd(Joints(), 1.0, about_root=False)
    back_about_camera = own.moved(every, torch.cat([-turn * a[:, :1], 0 * b[:, 1:]], dim=1)).flatten(1)
    total = torch.cat([a[:, :1] + b[:, :1], a[:, 1:] + back_about_camera], dim=1)
    assert (space.moved(once, b) - space.moved(batch, total)).abs().max() < 1e-12
    assert (back_about_camera.norm(dim=1) - b[:, 1:].norm(dim=1)).abs().max() < 1e-12


def test_an_axis_through_a_joint_would_not_be_exact_beside_displacements() -> None:
    """Turning about the root, which moves with the noise, changes the length of a displacement."""
    batch = bodies()
    space = YawAnd(Joints(), 1.0, about_root=True)
    one = torch.zeros_like(space.parameters(batch))
    angle, moved = one.clone(), one.clone()
    angle[:, 0] = 1.0
    moved[:, 1 + batch.x[0, 0].numel() // 2 :] = 0.3
    change = space.moved(batch, angle + moved) - space.moved(batch, angle)
    assert (
        flat(change, batch).norm(dim=1) / flat(moved[:, 1:].reshape(batch.x.shape), batch).norm(dim=1) - 1
    ).abs().max() > 0.01


def test_bones_turn_nothing_and_have_their_factors() -> None:
    batch = bodies()
    params = params_of(Bones(), batch, 3, 0.1)
    moved = Bones().moved(batch, params)
    before, after = bone_lengths(batch.x, batch.skeleton), bone_lengths(moved, batch.skeleton)
    exists = batch.mask[:, 0].transpose(2, 3)
    both = torch.stack([exists[..., c] & exists[..., p] for c, p in batch.skeleton.bones], dim=-1)
    expected = before * params.exp()[:, None]
    assert torch.allclose(after[both], expected[both], atol=1e-12)
    assert torch.equal(moved[:, :, :, batch.skeleton.root], batch.x[:, :, :, batch.skeleton.root])
    same = Scale().moved(batch, torch.full((3, 1), 0.2, dtype=torch.float64))
    assert torch.allclose(same, Bones().moved(batch, torch.full_like(params, 0.2)), atol=1e-15)


def test_yaw_turns_all_persons_about_the_first_root() -> None:
    batch = bodies()
    quarter = Yaw().moved(batch, torch.full((3, 1), math.pi / 2, dtype=torch.float64))
    place = [(0, 0), (1, 2), (2, 0)]  # the first frame in which the root of each first person exists
    for n, frame in place:
        root = batch.x[n, :, frame, batch.skeleton.root, 0]
        here = batch.mask[n, 0]
        across, deep = batch.x[n, 0] - root[0], batch.x[n, 2] - root[2]
        assert torch.allclose(quarter[n, 0][here], (root[0] + deep)[here], atol=1e-12)
        assert torch.allclose(quarter[n, 2][here], (root[2] - across)[here], atol=1e-12)
        assert torch.equal(quarter[n, 1], batch.x[n, 1])
        assert torch.allclose(quarter[n, :, frame, batch.skeleton.root, 0], root, atol=1e-15)


def test_dct_is_orthonormal_and_its_first_coefficient_is_an_offset() -> None:
    basis = dct_basis(8, 8)
    assert (basis.T @ basis - torch.eye(8, dtype=torch.float64)).abs().max() < 1e-12
    batch = bodies()
    offset = params_of(Offset(), batch, 1)
    slow = torch.zeros_like(Slow(2).parameters(batch))
    slow[:, :, 0] = offset * math.sqrt(8)
    assert torch.allclose(Slow(2).moved(batch, slow), Offset().moved(batch, offset), atol=1e-12)
    with pytest.raises(SettingError, match=r"components=9 .*num_frames=8"):
        Slow(9).check(KINECT20, 8)


# The covariance


def test_the_covariance_by_hand_and_its_condition() -> None:
    found = covariance(32, 4.0, 0.01)
    assert found[3, 3] == 1.0 and float(found[3, 5]) == pytest.approx(0.99 * math.exp(-4 / 32), abs=1e-15)
    assert torch.linalg.cond(found) < 2000 and torch.linalg.cond(covariance(32, 4.0, 0.0)) > 1e16


def test_noise_has_the_covariance() -> None:
    batch = make_batch(n=1, t=6, m=1, skeleton=KINECT20)
    space = Correlated(2.0, 0.05, {"head": 3.0})
    unit = torch.zeros(6, 3, 6, 20, 1, dtype=torch.float64)
    unit[range(6), 0, range(6)] = 1.0
    many = replace(
        batch,
        x=0 * unit,
        y=torch.zeros(6),
        mask=torch.ones(6, 1, 6, 20, 1) > 0,
        index=torch.arange(6),
        dt=torch.ones(6),
    )
    columns = space.moved(many, unit)[:, 0]  # (6, T, V, M): the columns of L
    for joint in range(20):
        found = columns[:, :, joint, 0].T @ columns[:, :, joint, 0]
        scale = 9.0 if KINECT20.joints[joint] == "head" else 1.0
        assert (found - scale * covariance(6, 2.0, 0.05)).abs().max() < 1e-12


def test_mahalanobis_lengths_in_closed_form() -> None:
    """Of white noise; of a constant and of an alternating motion where every frame has the same neighbours."""
    batch = whole(6)
    moved = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    white = Correlated(1e-3, 0.01)  # K is then the identity
    assert torch.allclose(white.length(batch, moved), moved.flatten(1).norm(dim=1), atol=1e-12)
    certain = Correlated(1e6, 0.01)  # K is then all ones: S = 0.99 1 1' + 0.01 I, inverted by Sherman and Morrison
    steady = torch.zeros_like(moved)
    steady[:, 0, :, 3] = 0.2
    assert float(certain.length(batch, steady)) == pytest.approx(0.2 * math.sqrt(6 / (0.99 * 6 + 0.01)), rel=1e-6)
    jitter = steady * ((-1) ** torch.arange(6.0))[:, None, None]
    assert float(certain.length(batch, jitter)) == pytest.approx(0.2 * math.sqrt(6 / 0.01), rel=1e-6)


def test_absent_entries_use_the_inverse_of_the_existing_block() -> None:
    batch = whole(6)
    batch.mask[0, 0, [1, 4], 3] = False
    there = torch.tensor([0, 2, 3, 5])
    moved = torch.zeros_like(batch.x)
    values = torch.tensor([0.3, -0.1, 0.2, 0.4], dtype=torch.float64)
    moved[0, 1, there, 3, 0] = values
    space = Correlated(2.0)
    block = covariance(6, 2.0, 0.01)[there][:, there]
    expected = float((values @ torch.linalg.inv(block) @ values).sqrt())
    assert float(space.length(batch, moved)) == pytest.approx(expected, rel=1e-10)
    inverse = torch.linalg.inv(covariance(6, 2.0, 0.01))[there][:, there]
    assert expected < 0.9 * float((values @ inverse @ values).sqrt())  # a block of the inverse would be too large


# Radii in the body's terms


@pytest.mark.parametrize("space", [Joints(), Correlated(3.0, joint_scales={"head": 2.0})], ids=["joints", "correlated"])
def test_motions_within_their_millimetres_are_within_the_radius(space: Any) -> None:
    """Of random amplitudes, phases and directions per joint; the worst of them nearly reach the radius."""
    batch, radius = bodies(n=2, t=16), 0.3
    batch = replace(batch, dt=torch.full((2,), 1 / 15))
    (terms, *_) = space.terms(batch, [radius, radius])
    one = replace(batch, x=batch.x[:1], y=batch.y[:1], mask=batch.mask[:1], index=batch.index[:1], dt=batch.dt[:1])
    rng, times = torch.Generator().manual_seed(0), torch.arange(16, dtype=torch.float64).view(1, 1, -1, 1, 1)
    for kind, hertz in (("constant", 0.0), ("hz1", 1.0), ("hz5", 5.0), ("jitter", 7.5)):
        shape, reached = (1, 3, 1, 20, 2), []
        for _ in range(60):
            size = torch.randn(shape, generator=rng, dtype=torch.float64) * torch.rand(shape[1:], generator=rng) ** 8
            phase = 2 * math.pi * torch.rand(shape, generator=rng) if 0 < hertz < 7 else torch.zeros(shape)
            moved = size * (2 * math.pi * hertz * times / 15 + phase).cos() * one.movable
            moved /= moved.square().sum().div(one.mask.sum()).sqrt()  # an rms of 1 over joints and frames
            reached.append(float(space.length(one, moved)) * terms[f"{kind}_mm"] / 1000 / radius)
            alone = torch.zeros_like(moved)
            alone[..., 3, 0] = moved[..., 3, 0] / (moved[..., 3, 0].square().sum() / 16).sqrt()
            assert float(space.length(one, alone)) * terms[f"{kind}_joint_mm"] / 1000 <= radius * (1 + 1e-9)
        assert max(reached) <= 1 + 1e-9 and max(reached) > 0.6


def test_kinds_of_motion_by_hand() -> None:
    batch = whole(8, dt=torch.full((1,), 1 / 8))
    (terms,) = Joints().terms(batch, [0.4])
    for kind in ("constant", "hz1", "jitter"):
        assert terms[f"{kind}_mm"] == pytest.approx(400 / math.sqrt(160))
        assert terms[f"{kind}_joint_mm"] == pytest.approx(400 / math.sqrt(8))
    assert "hz5_mm" not in terms and "hz5_joint_mm" not in terms  # above 4 Hz, the Nyquist frequency
    (offset,) = Offset().terms(batch, [0.4])
    assert offset == pytest.approx({"constant_mm": 400 / math.sqrt(20), "constant_joint_mm": 400})
    (slow,) = Slow(2).terms(batch, [0.4])
    assert slow == pytest.approx({name: terms[name] for name in offset})


def test_bone_percents_by_hand() -> None:
    batch = bodies()
    counts = bone_counts(batch)
    assert counts == [19, 38, 19]
    terms = Bones().terms(batch, [0.5] * 3)
    for one, count in zip(terms, counts, strict=True):
        x = one["bone_percent"] / 100
        assert math.sqrt(count) * -math.log(1 - x) == pytest.approx(0.5) and one["scale_percent"] == 100 * x
    assert Scale().terms(batch, [0.5] * 3)[0] == {"scale_percent": pytest.approx(100 * (1 - math.exp(-0.5)))}
    assert Yaw().terms(batch, [math.pi / 6, 1.0, 9.0])[0]["yaw_degrees"] == pytest.approx(30)
    assert Yaw().terms(batch, [math.pi / 6, 1.0, 9.0])[2]["yaw_degrees"] == 180
    both = YawAnd(Bones(), 0.5).terms(batch, [0.5] * 3)[0]
    assert both == terms[0] | {"yaw_degrees": pytest.approx(math.degrees(0.25))}


@pytest.mark.parametrize("space", [Joints(), Correlated(3.0)], ids=["joints", "correlated"])
def test_bones_and_turns_within_an_l2_radius_are_within_it(space: Any) -> None:
    """Random and extreme factors; a rotation by exactly the certified angle reaches the radius."""
    batch, radius = bodies(), 0.4
    terms = rigid_terms(batch, [radius] * 3, space.whitened)
    share = torch.tensor([one["bone_percent"] / 100 for one in terms])
    rng, reached = torch.Generator().manual_seed(0), []
    for _ in range(100):
        sign = torch.rand(Bones().parameters(batch).shape, generator=rng, dtype=torch.float64) * 2 - 1
        sign = sign.sign() if len(reached) % 2 else sign
        moved = Bones().moved(batch, (1 + share.view(-1, 1, 1) * sign).log()) - batch.x
        reached.append(space.length(batch, moved) / radius)
    assert float(torch.stack(reached).max()) <= 1 + 1e-9 and float(torch.stack(reached).max()) > 0.3
    size = torch.tensor([one["scale_percent"] / 100 for one in terms]).double()
    moved = Scale().moved(batch, (1 - size).log()[:, None]) - batch.x
    assert torch.allclose(space.length(batch, moved), torch.full((3,), radius, dtype=torch.float64), rtol=1e-6)
    angle = torch.tensor([math.radians(one["yaw_degrees"]) for one in terms]).double()
    moved = Yaw().moved(batch, angle[:, None]) - batch.x
    assert torch.allclose(space.length(batch, moved), torch.full((3,), radius, dtype=torch.float64), rtol=1e-6)


# Soundness


@pytest.mark.parametrize("space", [Offset(), Slow(3), Correlated(3.0, joint_scales={"head": 2.0})], ids=repr)
def test_a_linear_victim_is_certified_soundly(space: Any) -> None:
    """The margin in the parameters of a linear space is known: the radius is below it and near it."""
    batch = bodies(n=6)
    model = Linear(batch, classes=2, seed=2)
    logits = model(batch.x)
    across = (model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:])
    params = space.parameters(batch).requires_grad_()
    (slope,) = torch.autograd.grad((space.moved(batch, params) * across).sum(), params)
    margin = (logits[:, 0] - logits[:, 1]).abs() / slope.flatten(1).norm(dim=1)
    sigma = float(margin.median())
    how: Any = {"sigma": sigma, "at_once": 250, "num_classes": 2, "seed": 1, "space": space}
    counts = [
        count_classes(lambda x, repeated: model(x), batch, draws=range(n), purpose=purpose, **how)
        for purpose, n in (("selection", 50), ("estimation", 1000))
    ]
    certified = 0
    for n in range(6):
        certificate = cohen(counts[0][n, :-1], counts[1][n, :-1], sigma, 0.001)
        assert certificate.radius < margin[n]
        if certificate.pred != ABSTAIN:
            assert certificate.pred == int(logits[n].argmax())
            certified += certificate.radius > 0.6 * margin[n]
    assert certified >= 3


def height(x: Tensor, repeated: object, joint: int = 7) -> Tensor:
    """How far a joint is from the root in the first frame: homogeneous in a factor of all bones."""
    size = (x[:, :, 0, joint, 0] - x[:, :, 0, 0, 0]).norm(dim=1)
    return torch.stack([size, torch.ones_like(size)], dim=1)


def test_a_victim_of_body_size_is_certified_soundly() -> None:
    """It says whether a distance in the body exceeds 1: the margin in log size is the log of the distance."""
    batch = make_batch(n=8, t=2, m=1, skeleton=KINECT20, seed=4)
    margin = height(batch.x, None)[:, 0].log().abs()
    check_exact(Scale(), batch, height, margin, sigma=0.5)


def test_a_victim_of_yaw_is_certified_soundly() -> None:
    """It says whether the body faces within a quarter turn of a direction: the margin is an angle."""
    batch = make_batch(n=8, t=2, m=1, skeleton=KINECT20, seed=4)

    def facing(x: Tensor, repeated: object) -> Tensor:
        side = x[:, 0, 0, 7, 0] - x[:, 0, 0, 0, 0]
        return torch.stack([side, -side], dim=1)

    across, deep = ((batch.x[:, c, 0, 7, 0] - batch.x[:, c, 0, 0, 0]) for c in (0, 2))
    margin = (torch.atan2(deep, across).abs() - math.pi / 2).abs()
    # The victim changes at two angles, so noise that turns far returns: only the claim is checked, not its sharpness.
    check_exact(Yaw(), batch, facing, margin, sigma=0.25, exact=False)


@pytest.mark.parametrize("others", [Bones(), Joints()], ids=repr)
def test_yaw_beside_other_noise_is_certified_soundly(others: Any) -> None:
    """A victim of the angle alone has at most the same margin in both parameters together."""
    batch, turn = make_batch(n=8, t=2, m=1, skeleton=KINECT20, seed=4), 10.0
    space = YawAnd(others, turn, about_root=isinstance(others, Bones))

    def facing(x: Tensor, repeated: object) -> Tensor:
        side = x[:, 0, 0, 7, 0] - x[:, 0, 0, 0, 0]
        return torch.stack([side, -side], dim=1)

    across, deep = ((batch.x[:, c, 0, 7, 0] - batch.x[:, c, 0, 0, 0]) for c in (0, 2))
    margin = (torch.atan2(deep, across).abs() - math.pi / 2).abs() / turn
    check_exact(space, batch, facing, margin, sigma=0.02, exact=False)


def check_exact(
    space: Any, batch: SkeletonBatch, victim: Any, margin: Tensor, sigma: float, exact: bool = True
) -> None:
    """Radii are below the margin, and with ``exact`` within what the draws allow."""
    how: Any = {"sigma": sigma, "at_once": 250, "num_classes": 2, "seed": 1, "space": space}
    counts = count_classes(victim, batch, draws=range(1000), purpose="estimation", **how)[:, :-1]
    right, certified = victim(batch.x, None).argmax(dim=1), 0
    for n in range(len(batch)):
        certificate = cohen(counts[n], counts[n], sigma, 0.001)
        assert certificate.radius <= margin[n]
        certified += certificate.radius > 0.6 * margin[n]
        assert certificate.pred in (ABSTAIN, right[n])
        if exact:
            hits, p = int(counts[n, right[n]]), float(norm.cdf(margin[n] / sigma))
            assert binom.ppf(1e-5, 1000, p) <= hits <= binom.ppf(1 - 1e-5, 1000, p)
    assert certified >= 2


# Settings


@pytest.mark.parametrize("name", list(SPACES))
def test_every_space_has_its_settings(name: str) -> None:
    how = Smoothing(space=name, components=3, yaw=0.5, sigma=0.25)
    space, batch = space_of(how), bodies()
    space.check(KINECT20, 8)
    params = space.parameters(batch)
    assert len(params) == 3 and not params.any()
    terms = space.terms(batch, [0.25, 0.0, 1.0])
    assert all(value >= 0 for one in terms for value in one.values())
    assert all(value == 0 for value in terms[1].values()) and any(value > 0 for value in terms[0].values())
    single = replace(batch.to(dtype=torch.float32))
    moved = space.moved(single, params_of(space, single, 1).float())
    assert moved.dtype == torch.float32 and moved.isfinite().all()


def test_what_is_not_exact_is_refused_in_one_line() -> None:
    for name in (*INEXACT, "bone", "none"):
        with pytest.raises(SettingError, match=rf"smoothing\.space={name} ") as caught:
            Smoothing(space=name)
        assert "\n" not in str(caught.value)
    for name in ("time_warp", "rotations", "joints_bones"):
        with pytest.raises(SettingError, match="has no exact certificate"):
            Smoothing(space=name)
    with pytest.raises(SettingError, match=r"joint_scales: kinect20 has no joint hand"):
        Correlated(joint_scales={"hand": 1.0}).check(KINECT20, 8)
    with pytest.raises(SettingError, match=r"joint_scales\.head=0 must be"):
        Correlated(joint_scales={"head": 0}).check(KINECT20, 8)


def test_settings_that_a_space_does_not_have_are_left_out() -> None:
    settings = vars(Smoothing(space="bones_yaw"))
    assert {*settings} - {*used(settings)} == {"components", "length", "nugget", "joint_scales"}
    plain = used(vars(Smoothing()))
    assert {*plain} == {"sigma", "n0", "n", "alpha", "paper_alpha", "clips", "at_once", "stop"}
    assert used(SimpleNamespace(**plain).__dict__) == plain
