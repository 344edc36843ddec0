"""The denoiser: what its network sees and leaves, its gradient, and what its two fits reduce."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from black_box import PoolOf
from conftest import Linear, make_batch
from options import context_of
from torch import Tensor, nn

from skeleton_adv.attacks.losses import margin
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.defenses import denoiser, is_fitted
from skeleton_adv.defenses.denoiser import Denoiser, errors
from skeleton_adv.defenses.median import TemporalMedian
from skeleton_adv.models.denoiser import TemporalDenoiser
from skeleton_adv.models.victim import Victim

SIGMA = 0.05
bodies = pytest.mark.parametrize("skeleton", [NTU25, OPENPOSE18], ids=lambda s: s.name)


class Passed(nn.Module):
    """A network that returns what it receives."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        return x


def moving(n: int, seed: int, t: int = 16) -> SkeletonBatch:
    """Bodies whose joints move along slow sines, from which noise differs."""
    batch = make_batch(n=n, t=t, m=1, skeleton=KINECT20, seed=seed, dtype=torch.float32)
    rng = torch.Generator().manual_seed(seed)
    phase = 6.3 * torch.rand(n, 3, 1, 20, 1, generator=rng)
    swing = 0.1 * torch.sin(phase + torch.linspace(0, 3, t).view(1, 1, -1, 1, 1))
    x = torch.where(batch.mask, batch.x[:, :, :1] + swing, 0)
    return SkeletonBatch(x, batch.y, batch.mask, batch.index + 100 * seed, batch.dt, KINECT20)


def fitted(batch: SkeletonBatch, model: Any = None, **settings: Any) -> dict[str, Tensor]:
    """What a denoiser fits on these clips."""
    own = {"sigma": SIGMA, "width": 16, "steps": 4, "clips": 4} | settings
    *_, last = Denoiser(Passed(), **own).fit(lambda clips, draw: model, PoolOf(batch), None)
    return last


def noisy(batch: SkeletonBatch) -> Tensor:
    return batch.x + SIGMA * torch.where(batch.movable, normal(batch.x, batch.index, 7, "test"), 0)


def denoised(tensors: dict[str, Tensor], batch: SkeletonBatch, x: Tensor) -> Tensor:
    found: Tensor = Denoiser(Passed(), fitted=tensors, sigma=SIGMA)(x, context_of(batch))
    return found


def any_weights(skeleton: Skeleton, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """A denoiser whose estimates of the noise are not 0."""
    torch.manual_seed(0)
    network = TemporalDenoiser(len(skeleton.coords), skeleton.num_joints, 8).to(dtype)
    nn.init.normal_(network.last.weight)
    nn.init.normal_(network.filter.weight)
    return {f"weight.{name}": value.detach() for name, value in network.named_parameters()}


def test_an_untrained_network_is_the_identity() -> None:
    batch = moving(4, seed=1)
    assert torch.equal(denoised(fitted(batch, steps=0), batch, noisy(batch)), noisy(batch))


def test_the_size_of_a_network_is_that_of_its_weights() -> None:
    network = TemporalDenoiser(2, 18, 5)
    state = torch.get_rng_state()
    again = TemporalDenoiser.of(network.state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    batch = make_batch(t=5, skeleton=OPENPOSE18, dtype=torch.float32)
    x = batch.x[:, :2]
    assert torch.equal(again(x, batch.mask, 0.1), network(x, batch.mask, 0.1))


@bodies
def test_absent_joints_neither_change_nor_count(skeleton: Skeleton) -> None:
    batch = make_batch(n=3, skeleton=skeleton)
    batch.mask[1, :, 3:5, 7, 0] = False
    weights = any_weights(skeleton)
    expected = denoised(weights, batch, batch.x)
    assert (expected != batch.x)[batch.movable].all()
    for filler in (1e6, torch.nan):
        x = torch.where(batch.mask, batch.x, filler).requires_grad_()
        y = denoised(weights, batch, x)
        there = batch.mask.expand_as(y)
        assert torch.equal(y[there], expected[there])
        assert torch.equal(y.nan_to_num()[~batch.movable], x.nan_to_num()[~batch.movable])
        (gradient,) = torch.autograd.grad(y[there].square().sum(), x)
        assert gradient.isfinite().all() and not gradient[~there].any()


def test_a_moved_body_is_denoised_alike() -> None:
    batch = make_batch(n=2, m=1)
    shift = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64).view(1, 3, 1, 1, 1) * batch.mask
    weights = any_weights(NTU25)
    moved = denoised(weights, batch, batch.x + shift)
    torch.testing.assert_close(moved, denoised(weights, batch, batch.x) + shift, rtol=0, atol=1e-9)


def test_persons_and_clips_are_denoised_one_by_one() -> None:
    batch = make_batch(n=4)
    weights = any_weights(NTU25)
    together = denoised(weights, batch, batch.x)
    for clip, person in ((1, 0), (1, 1), (3, 1)):
        x, mask = (z[clip : clip + 1, ..., person : person + 1] for z in (batch.x, batch.mask))
        alone = SkeletonBatch(x, batch.y[:1], mask, batch.index[:1], batch.dt[:1], NTU25)
        y = denoised(weights, alone, alone.x)
        torch.testing.assert_close(y[0, ..., 0], together[clip, ..., person], rtol=0, atol=1e-12)


def test_the_gradient_agrees_with_finite_differences() -> None:
    batch = make_batch(n=2, t=6)
    weights, rng = any_weights(NTU25), torch.Generator().manual_seed(1)
    looks = torch.randn(batch.x.shape, dtype=torch.float64, generator=rng)
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((denoised(weights, batch, x) * looks).square().sum(), x)
    for number in range(5):
        way = torch.randn(batch.x.shape, dtype=torch.float64, generator=rng.manual_seed(number)) * batch.movable
        ends = [denoised(weights, batch, batch.x + side * 1e-7 * way) for side in (1, -1)]
        slope = ((ends[0] * looks).square().sum() - (ends[1] * looks).square().sum()) / 2e-7
        assert slope.item() == pytest.approx((gradient * way).sum().item(), rel=1e-5)


def test_after_a_short_fit_other_clips_have_less_noise() -> None:
    """The mean squared error, in multiples of sigma squared, is 1 before; clean clips change least."""
    tensors = fitted(moving(32, seed=1), steps=40, clips=8, lr=0.01)
    other = moving(16, seed=2)
    before, after = (errors(x, other, SIGMA) for x in (noisy(other), denoised(tensors, other, noisy(other))))
    clean = errors(denoised(tensors, other, other.x), other, SIGMA)
    assert before.mean().item() == pytest.approx(1, abs=0.1)
    assert (after < before).all() and after.mean() < 0.4 and (clean < 0.2 * after).all()


def test_the_stability_objective_lowers_its_own_loss() -> None:
    """The network sees which joints move most, which noise hides; the loss falls on clips that were not fitted."""
    pool, other = moving(24, seed=1), moving(16, seed=2)
    weight = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))

    def model(x: Tensor) -> Tensor:
        motion = (x[:, :, 1:] - x[:, :, :-1]).square().mean(dim=(1, 2, 4))
        return 100 * (motion / motion.sum(dim=1, keepdim=True) - 1 / 20) @ weight

    def loss(x: Tensor) -> float:
        return F.cross_entropy(model(x), model(other.x).argmax(dim=1)).item()

    tensors = fitted(pool, model, objective="stability", steps=40, clips=8, lr=0.01)
    assert loss(denoised(tensors, other, noisy(other))) < 0.85 * loss(noisy(other))


def test_only_the_stability_objective_calls_the_network() -> None:
    def refused(x: Tensor) -> Tensor:
        raise AssertionError("the network is called")

    fitted(moving(8, seed=1), refused)
    with pytest.raises(AssertionError, match="is called"):
        fitted(moving(8, seed=1), refused, objective="stability")
    assert not Denoiser(Passed()).fit_calls_network and Denoiser(Passed(), objective="stability").fit_calls_network


@pytest.mark.parametrize("objective", ["mse", "stability"])
def test_an_interrupted_fit_ends_with_the_same_tensors(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser, "KEPT", 2)
    batch = moving(10, seed=1)  # two steps per pass
    network, pool = Linear(batch), PoolOf(batch)
    made = Denoiser(Passed(), sigma=SIGMA, width=8, steps=7, clips=4, objective=objective)  # type: ignore[arg-type]
    states = list(made.fit(lambda clips, draw: network, pool, None))
    assert [int(state["steps"]) for state in states] == [2, 4, 6, 7]
    assert {name.partition(".")[0] for name in states[-1]} == {"weight", "steps"}
    for state in states[:3]:
        kept = {name: value.clone() for name, value in state.items()}
        *_, again = made.fit(lambda clips, draw: network, pool, state)
        assert all(torch.equal(again[name], states[-1][name]) for name in states[-1])
        assert all(torch.equal(state[name], kept[name]) for name in kept)
    assert not [*made.fit(lambda clips, draw: network, pool, states[-1])]


def test_a_fit_does_not_touch_the_global_generator() -> None:
    state = torch.get_rng_state()
    first, again = (fitted(moving(6, seed=1)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state) and all(torch.equal(first[name], again[name]) for name in first)
    other = fitted(moving(6, seed=1), seed=1)
    assert not torch.equal(other["weight.first.weight"], first["weight.first.weight"])


def test_an_adaptive_attack_gains_over_an_oblivious_one() -> None:
    batch = moving(6, seed=3)
    network, tensors = Linear(batch), any_weights(KINECT20, torch.float32)

    class Own(nn.Module):
        def forward(self, x: Tensor, context: Context) -> Tensor:
            logits: Tensor = network(x)
            return logits

    victim = Victim(Own(), lambda inner: Denoiser(inner, fitted=tensors, sigma=SIGMA), "cpu")
    assert not victim.randomised
    view = victim.view(batch, "attack", 0)
    labelled = batch.with_labels(view(batch.x).argmax(dim=1))
    settings = {"norm": "l2", "eps": 0.3, "step": 0.05, "steps": 20, "random_start": False, "loss": "margin"}
    through, around = (pgd(model, labelled, **settings).x_adv for model in (view, network))
    assert margin(view(through), labelled.y).mean() < margin(view(around), labelled.y).mean()


def test_a_denoiser_without_weights_is_refused() -> None:
    batch = make_batch(n=1)
    with pytest.raises(SettingError, match="defense=denoiser is not fitted"):
        Denoiser(Passed())(batch.x, context_of(batch))
    assert is_fitted(Denoiser) and not is_fitted(TemporalMedian)
