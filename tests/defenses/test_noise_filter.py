"""The noise-and-filter defense, compared with scipy's filter, a brute-force average, and its documentation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import Linear, make_batch
from scipy.ndimage import correlate1d
from torch import Tensor, nn

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.noise import normal
from skeleton_adv.defenses.noise_filter import TAPS, NoiseFilter, smooth


class Curved(nn.Module):
    """A network whose gradient depends on its input, and which records its inputs."""

    def __init__(self, batch: SkeletonBatch) -> None:
        super().__init__()
        self.linear, self.seen = Linear(batch), []

    def forward(self, x: Tensor, context: Context) -> Tensor:
        self.seen.append(x.detach())
        return (3 * self.linear(x)).tanh()


def context_of(batch: SkeletonBatch, purpose: str = "attack", draw: int = 0) -> Context:
    return Context(batch.mask, batch.movable, batch.index, 5, purpose, batch.skeleton, draw)


def weights(taps: int) -> Tensor:
    return torch.tensor(TAPS[taps], dtype=torch.float64) / sum(TAPS[taps])


@pytest.mark.parametrize("taps", [5, 7])
@pytest.mark.parametrize("frames", [64, 3])
def test_the_filter_agrees_with_scipy(taps: int, frames: int) -> None:
    x = torch.randn(2, 3, frames, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    everything = torch.ones(2, 1, frames, 5, 2, dtype=torch.bool)
    expected = correlate1d(x.numpy(), weights(taps).numpy(), axis=2, mode="nearest")
    np.testing.assert_allclose(smooth(x, everything, weights(taps)).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("taps", [5, 7])
def test_an_impulse_keeps_its_peak_and_its_centroid(taps: int) -> None:
    x = torch.zeros(1, 1, 17, 1, 1, dtype=torch.float64)
    x[0, 0, 8] = 1
    y = smooth(x, x.new_ones(x.shape, dtype=torch.bool), weights(taps)).flatten()
    assert int(y.argmax()) == 8 and y.sum().item() == pytest.approx(1)
    assert (y * torch.arange(17)).sum().item() == pytest.approx(8)


def test_missing_frames_have_no_weight_and_do_not_change() -> None:
    batch = make_batch(n=2, t=12)
    batch.mask[1, :, 4:6, 3, 0] = False
    x = torch.where(batch.mask, batch.x, 0)
    constant = torch.where(batch.mask, torch.full_like(x, 2.5), 0)
    y = smooth(constant, batch.mask, weights(5))
    torch.testing.assert_close(y[batch.mask.expand_as(y)], constant[batch.mask.expand_as(y)])
    defense = NoiseFilter(Curved(batch), sigma=0.3, draws=1)
    defense(x, context_of(batch, "judge"))
    (seen,) = defense.network.seen
    assert torch.equal(seen[~batch.movable], x[~batch.movable])
    assert (seen != x)[batch.movable].float().mean() > 0.99


def test_the_gradient_of_many_draws_is_their_mean() -> None:
    batch = make_batch(n=3)
    network = Curved(batch)
    defense = NoiseFilter(network, sigma=0.2, taps=7, eot=6)
    x = batch.x.clone().requires_grad_()
    (ours,) = torch.autograd.grad(defense(x, context_of(batch, draw=2)).logsumexp(dim=1).sum(), x)
    total = torch.zeros(3, 5, dtype=torch.float64)
    looks = []
    for draw in range(12, 18):
        noise = normal(batch.x, batch.index, 5, "noise attack", draw) * batch.movable
        looks.append(torch.where(batch.movable, smooth(x + 0.2 * noise, batch.mask, weights(7)), x))
        total = total + network(looks[-1], context_of(batch)) / 6
    (expected,) = torch.autograd.grad(total.logsumexp(dim=1).sum(), x)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_noise_has_its_size_and_differs_between_draws() -> None:
    batch = make_batch(n=4, t=16)
    defense = NoiseFilter(Curved(batch), sigma=0.05, taps=None, draws=20, eot=3)
    defense(batch.x, context_of(batch, "judge"))
    defense(batch.x, context_of(batch, "attack"))
    seen = defense.network.seen
    assert len(seen) == 23
    noise = torch.stack([(x - batch.x)[batch.movable] for x in seen])
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    together = torch.corrcoef(noise) - torch.eye(23, dtype=noise.dtype)
    assert together.abs().max() < 5 / noise.shape[1] ** 0.5


def test_a_filter_alone_makes_one_pass_and_is_deterministic() -> None:
    batch = make_batch(n=2)
    defense = NoiseFilter(Curved(batch), sigma=0.0)
    first = defense(batch.x, context_of(batch, "judge"))
    assert len(defense.network.seen) == 1
    assert torch.equal(first, defense(batch.x, replace(context_of(batch, "attack"), draw=9)))
