"""DIM: its changes of clips, gradients through them, and MI-FGSM as its special case."""

import pytest
import torch
from conftest import linear_case, make_batch
from torch import Tensor

from skeleton_adv.attacks.dim import corrupted, crop_weights, dim, diverse, resampled, turned
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import OPENPOSE18

SETTINGS = {"probability": 1.0, "crop": 0.6, "angle": 30.0, "seed": 3, "draw": 1}


@pytest.mark.parametrize("momentum", [0.0, 1.0])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_changes_it_is_mi_fgsm_bit_for_bit(norm: str, momentum: float) -> None:
    model, batch = linear_case(n=6)
    settings = {"norm": norm, "eps": 0.05, "steps": 10, "momentum": momentum}
    plain = pgd(model, batch, step=0.05 / 10, random_start=False, **settings)  # type: ignore[arg-type]
    result = dim(model, batch, probability=0.0, **settings)  # type: ignore[arg-type]
    assert torch.equal(result.x_adv, plain.x_adv) and torch.equal(result.found, plain.found)
    assert not torch.equal(result.x_adv, dim(model, batch, **settings).x_adv)  # type: ignore[arg-type]


@pytest.mark.parametrize("released", [False, True])
def test_it_stays_in_its_ball_and_lowers_the_margin(released: bool) -> None:
    model, batch = linear_case(n=6)
    result = dim(model, batch, eps=0.02, released=released)
    moved = result.x_adv - batch.x
    assert moved.abs().max() <= 0.02 + 1e-12 and not moved[~batch.movable].any()
    true = [z.gather(1, batch.y[:, None]) for z in (model(batch.x), model(result.x_adv))]
    assert (true[1] < true[0]).all()


def test_gradients_pass_through_the_change() -> None:
    """Central differences along random directions in float64; the change is affine, so they are exact."""
    batch = make_batch()
    weight = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    change = diverse(batch, **SETTINGS)  # type: ignore[arg-type]

    def value(x: Tensor) -> Tensor:
        return (change(x) * weight).square().sum(dim=(1, 2, 3, 4))

    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(x).sum(), x)
    direction = torch.randn_like(weight)
    slope = (value(batch.x + 1e-4 * direction) - value(batch.x - 1e-4 * direction)) / 2e-4
    torch.testing.assert_close(slope, (gradient * direction).sum(dim=(1, 2, 3, 4)), rtol=1e-7, atol=1e-7)


def test_a_turn_is_rigid_and_leaves_heights() -> None:
    batch = make_batch()
    result = turned(batch.x, torch.tensor([0.3, -0.2, 0.0, 1.0], dtype=torch.float64), batch)
    exist = bones_exist(batch)
    lengths = [bone_lengths(x, batch.skeleton)[exist] for x in (batch.x, result)]
    torch.testing.assert_close(*lengths)
    assert torch.equal(result[:, 1], batch.x[:, 1]) and not torch.equal(result[:2, 0], batch.x[:2, 0])
    torch.testing.assert_close(result[2], batch.x[2])
    assert torch.equal(result[~batch.movable], batch.x[~batch.movable])
    where = batch.mask.expand_as(batch.x)
    for clip in range(4):  # the middle stays
        torch.testing.assert_close(*((z[clip] * where[clip]).sum(dim=(1, 2, 3)) for z in (result, batch.x)))


def test_a_crop_is_a_part_of_the_clip_at_a_slower_speed() -> None:
    batch = make_batch(t=9)
    ramp = torch.arange(9, dtype=torch.float64).view(1, 1, 9, 1, 1).expand_as(batch.x)
    share, start = (torch.tensor(values, dtype=torch.float64) for values in ((1.0, 0.5, 0.5, 0.75), (0.3, 0, 1.0, 0.5)))
    weights = crop_weights(batch, share, start)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(4, 9, dtype=torch.float64))
    result = resampled(torch.where(batch.mask, ramp, 0), weights, batch)
    first = start * (1 - share) * 8
    expected = first[:, None] + share[:, None] * torch.arange(9)
    whole = batch.mask[:, 0].all(dim=1)  # (N, V, M)
    for clip, joint, person in whole.nonzero().tolist():
        torch.testing.assert_close(result[clip, 0, :, joint, person], expected[clip])
    assert torch.equal(resampled(batch.x, weights, batch)[~batch.movable], batch.x[~batch.movable])


def test_missing_frames_do_not_leak_into_a_crop() -> None:
    """A joint whose neighbour in time is missing takes the value of the other neighbour, not a mean with 0."""
    batch = make_batch(n=2, t=8)
    constant = torch.where(batch.mask, torch.full_like(batch.x, 7.0), 0)
    weights = crop_weights(
        batch, torch.full((2,), 0.55, dtype=torch.float64), torch.full((2,), 0.4, dtype=torch.float64)
    )
    result = resampled(constant, weights, batch)
    torch.testing.assert_close(result, constant)


def test_changes_are_rare_with_a_small_probability_and_differ_per_clip_and_draw() -> None:
    batch = make_batch(n=64, t=4)
    changed = (diverse(batch, 0.5, 0.6, 30.0, 0, 0)(batch.x) != batch.x).flatten(1).any(dim=1)
    assert 20 <= int(changed.sum()) <= 44
    one, two = (diverse(batch, 1.0, 0.6, 30.0, 0, draw)(batch.x) for draw in (0, 1))
    assert (one != two).flatten(1).any(dim=1).all()


@pytest.mark.parametrize("skeleton", [None, OPENPOSE18])
def test_the_released_change_loses_joints_or_shears(skeleton: object) -> None:
    batch = make_batch(n=16, m=1, **({"skeleton": skeleton} if skeleton else {}))  # type: ignore[arg-type]
    change = corrupted(batch, 1.0, 0.5, 0, 0)(batch.x)
    lost = ((change == 0).all(dim=1) & batch.mask[:, 0]).all(dim=1)[..., 0].sum(dim=1)  # joints per clip
    assert set(lost.tolist()) <= {0, 14, 15} and 3 <= int((lost > 0).sum()) <= 13
    if skeleton:
        kept = lost == 0
        torch.testing.assert_close(change[kept][:, 2], batch.x[kept][:, 2])  # scores
