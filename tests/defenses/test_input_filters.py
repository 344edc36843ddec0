"""Filters of the input, compared with scipy and numpy, with closed forms, and by finite differences."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import Linear, make_batch
from options import context_of
from scipy.ndimage import median_filter
from scipy.signal import savgol_filter
from torch import Tensor, nn

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.defenses import savitzky_golay
from skeleton_adv.defenses.bone_projection import BoneProjection
from skeleton_adv.defenses.median import TemporalMedian, median
from skeleton_adv.defenses.savitzky_golay import SavitzkyGolay, polynomial
from skeleton_adv.models.victim import Victim

FILTERS = [TemporalMedian, SavitzkyGolay, BoneProjection]
every = pytest.mark.parametrize("defense", FILTERS)
bodies = pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18], ids=lambda s: s.name)


class Passed(nn.Module):
    """A network that returns what it receives."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return x


def filtered(defense: Any, batch: SkeletonBatch, x: Tensor | None = None, **settings: Any) -> Tensor:
    """What the network receives from a defense."""
    found: Tensor = defense(Passed(), **settings)(batch.x if x is None else x, context_of(batch))
    return found


def with_gaps(skeleton: Skeleton = NTU25, t: int = 12) -> SkeletonBatch:
    """Clips with missing joints, frames and persons."""
    batch = make_batch(n=3, t=t, skeleton=skeleton)
    batch.mask[0, :, 3:5, 7, 0] = False
    batch.mask[1, :, 0, :, 0] = False
    batch.mask[1, :, 9:, :, 1] = False
    batch.mask[2, :, ::2, 4, 0] = False
    return SkeletonBatch(batch.x * batch.mask, batch.y, batch.mask, batch.index, batch.dt, skeleton)


def whole(t: int) -> SkeletonBatch:
    """Clips in which everything exists."""
    batch = make_batch(n=2, t=t)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(batch.x.shape, dtype=torch.float64, generator=rng)
    return SkeletonBatch(x, batch.y, torch.ones_like(batch.mask), batch.index, batch.dt, batch.skeleton)


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("frames", [32, 3, 1])
def test_the_median_agrees_with_scipy(window: int, frames: int) -> None:
    batch = whole(frames)
    expected = median_filter(batch.x.numpy(), size=(1, 1, window, 1, 1), mode="nearest")
    np.testing.assert_array_equal(filtered(TemporalMedian, batch, window=window).numpy(), expected)


def test_the_median_of_existing_frames_agrees_with_numpy() -> None:
    rng = torch.Generator().manual_seed(2)
    values, exists = torch.randn(7, 40, generator=rng), torch.rand(7, 40, generator=rng) < 0.5
    exists[0] |= ~exists.any(dim=0)
    expected = np.nanmedian(torch.where(exists, values, torch.nan).numpy(), axis=0)
    np.testing.assert_allclose(median(values, exists).numpy(), expected, rtol=1e-6)
    assert not median(values, torch.zeros_like(exists)).any()


@pytest.mark.parametrize(("window", "degree"), [(3, 0), (5, 2), (7, 3), (9, 1), (1, 0)])
@pytest.mark.parametrize("frames", [32, 9])
def test_the_polynomial_agrees_with_scipy(window: int, degree: int, frames: int) -> None:
    batch = whole(frames)
    expected = savgol_filter(batch.x.numpy(), window, degree, axis=2, mode="interp")
    ours = filtered(SavitzkyGolay, batch, window=window, degree=degree)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=1e-11)


def test_a_polynomial_remains_whatever_exists() -> None:
    """A motion of at most the degree does not change, even where frames are missing or a clip is short."""
    for frames in (12, 4):
        batch = with_gaps(t=frames)
        time = torch.arange(frames, dtype=torch.float64).view(1, 1, -1, 1, 1)
        x = torch.where(batch.movable, batch.x[:, :, :1] + 0.3 * time - 0.02 * time**2, 0)
        torch.testing.assert_close(filtered(SavitzkyGolay, batch, x), x, rtol=0, atol=1e-10)


def test_the_fit_over_existing_frames_agrees_with_numpy() -> None:
    batch = with_gaps()
    y = polynomial(batch.x, batch.mask, 7, 2)
    for clip, joint, frame, first in ((0, 7, 6, 3), (2, 4, 1, 0), (1, 3, 2, 0)):
        frames = [t for t in range(first, first + 7) if batch.mask[clip, 0, t, joint, 0]]
        values = batch.x[clip, 1, frames, joint, 0].numpy()
        expected = np.polyval(np.polyfit(np.array(frames) - frame, values, 2), 0)
        assert y[clip, 1, frame, joint, 0].item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("skeleton", [NTU25, KINECT20], ids=lambda s: s.name)
def test_projected_bones_have_their_median_length(skeleton: Skeleton) -> None:
    batch = with_gaps(skeleton)
    exists, before = bones_exist(batch), bone_lengths(batch.x, batch.skeleton)
    known = torch.where(exists | ~exists.any(dim=1, keepdim=True), before, torch.nan)
    usual = np.nanmedian(known.numpy(), axis=1, keepdims=True)
    y = filtered(BoneProjection, batch)
    after = bone_lengths(y, batch.skeleton)
    expected = torch.from_numpy(usual).expand_as(after)
    torch.testing.assert_close(after[exists], expected[exists], rtol=0, atol=1e-12)
    torch.testing.assert_close(filtered(BoneProjection, batch, y), y, rtol=0, atol=1e-12)
    root = batch.skeleton.root
    assert torch.equal(y[:, :, :, root], batch.x[:, :, :, root])
    half = bone_lengths(filtered(BoneProjection, batch, share=0.5), batch.skeleton)
    torch.testing.assert_close(half[exists], ((before + expected) / 2)[exists], rtol=0, atol=1e-12)


def test_a_body_of_constant_bones_and_a_bone_of_length_0_stay() -> None:
    batch = make_batch(n=2, t=6)
    still = batch.x[:, :, :1].expand_as(batch.x) * batch.mask
    torch.testing.assert_close(filtered(BoneProjection, batch, still), still, rtol=0, atol=1e-12)
    folded = batch.x.clone()
    folded[:, :, 2, 3] = folded[:, :, 2, NTU25.parents[3]]
    folded.requires_grad_()
    y = filtered(BoneProjection, batch, folded)
    assert torch.equal(y[:, :, 2, 3], y[:, :, 2, NTU25.parents[3]])
    (gradient,) = torch.autograd.grad(y.square().sum(), folded)
    assert gradient.isfinite().all()


@every
@bodies
def test_absent_joints_neither_change_nor_count(defense: Any, skeleton: Skeleton) -> None:
    batch = with_gaps(skeleton)
    if defense is BoneProjection and len(skeleton.coords) < 3:
        with pytest.raises(SettingError, match="bone_projection has no meaning for openpose18"):
            filtered(defense, batch)
        return
    for filler in (1e6, torch.nan):
        x = torch.where(batch.mask, batch.x, filler).requires_grad_()
        y = filtered(defense, batch, x)
        there = batch.mask.expand_as(y)
        assert torch.equal(y[there], filtered(defense, batch)[there])
        assert torch.equal(y.nan_to_num()[~batch.movable], x.nan_to_num()[~batch.movable])
        (gradient,) = torch.autograd.grad(y[there].square().sum(), x)
        assert gradient.isfinite().all() and not gradient[~there].any()


@every
def test_the_gradient_agrees_with_finite_differences(defense: Any) -> None:
    batch = with_gaps(t=6)
    rng = torch.Generator().manual_seed(3)
    looks = torch.randn(batch.x.shape, dtype=torch.float64, generator=rng)
    x = batch.x.clone().requires_grad_()

    def value(z: Tensor) -> Tensor:
        return (filtered(defense, batch, z) * looks).square().sum()

    (gradient,) = torch.autograd.grad(value(x), x)
    for number in range(5):
        way = torch.randn(batch.x.shape, dtype=torch.float64, generator=rng.manual_seed(number)) * batch.movable
        slope = (value(batch.x + 1e-7 * way) - value(batch.x - 1e-7 * way)) / 2e-7
        assert slope.item() == pytest.approx((gradient * way).sum().item(), rel=1e-5)


def test_the_gradient_flows_through_the_median_length() -> None:
    """Frames that are given unchanged move because another frame changes the median."""
    batch = make_batch(n=1, t=3, m=1)
    x = batch.x.clone().requires_grad_()
    other = filtered(BoneProjection, batch, x)[:, :, 0].sum()
    (gradient,) = torch.autograd.grad(other, x)
    assert gradient[:, :, 1:].abs().amax() > 0


@every
def test_clips_do_not_depend_on_other_clips(defense: Any) -> None:
    batch = with_gaps()
    alone = SkeletonBatch(*(z[1:2] for z in (batch.x, batch.y, batch.mask, batch.index, batch.dt)), batch.skeleton)
    assert torch.equal(filtered(defense, batch)[1:2], filtered(defense, alone))


@every
def test_an_adaptive_attack_gains_over_an_oblivious_one(defense: Any) -> None:
    """With the same budget, the attack through the filter lowers the margin of the defended victim further."""
    batch = make_batch(n=6, t=10)
    network = Linear(batch)

    class Own(nn.Module):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            logits: Tensor = network(x)
            return logits

    victim = Victim(Own(), defense, "cpu")
    view = victim.view(batch, "attack", 0)
    labelled = batch.with_labels(view(batch.x).argmax(dim=1))
    settings = {"norm": "l2", "eps": 0.3, "step": 0.05, "steps": 20, "random_start": False, "loss": "margin"}
    through, around = (pgd(model, labelled, **settings).x_adv for model in (view, network))
    assert (margin(view(through), labelled.y) < margin(view(around), labelled.y)).all()


@pytest.mark.parametrize(
    ("defense", "settings"),
    [(TemporalMedian, {"window": 4}), (SavitzkyGolay, {"window": 6}), (SavitzkyGolay, {"window": 3, "degree": 3})],
)
def test_impossible_windows_are_refused(defense: Any, settings: dict[str, int]) -> None:
    with pytest.raises(SettingError, match=r"defense\.(window|degree)=") as caught:
        defense(Passed(), **settings)
    assert "\n" not in str(caught.value)


def test_weights_are_computed_once_per_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU waits for them, so an attack's loop must not repeat them; another mask, or a changed one, has its own."""
    seen: list[Tensor] = []

    def counted(mask: Tensor, window: int, degree: int) -> Tensor:
        seen.append(mask)
        return original(mask, window, degree)

    original = savitzky_golay.weights_for
    monkeypatch.setattr(savitzky_golay, "weights_for", counted)
    batch, other = with_gaps(), whole(t=12)
    network = Linear(batch)

    class Own(nn.Module):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            logits: Tensor = network(x)
            return logits

    pgd(Victim(Own(), SavitzkyGolay, "cpu").view(batch, "attack", 0).limited("gradients"), batch, steps=5)
    assert len(seen) == 1 and seen[0] is batch.mask
    defense = SavitzkyGolay(Passed())
    for clips in (batch, other, batch):
        expected = torch.where(clips.movable, polynomial(clips.x, clips.mask, 7, 2), clips.x)
        assert torch.equal(defense(clips.x, context_of(clips)), expected)
    clips.mask[0, :, 5] = False
    expected = torch.where(clips.movable, polynomial(clips.x, clips.mask, 7, 2), clips.x)
    assert torch.equal(defense(clips.x, context_of(clips)), expected)
