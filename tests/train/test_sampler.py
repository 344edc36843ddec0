"""The sampler: it samples known posteriors, and its variance has the closed form of its discretisation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from skeleton_adv.train.moments import accumulate, moments
from skeleton_adv.train.sampler import SGHMC, ReleasedSampler
from skeleton_adv.train.tasar import penalised

CHAINS = 2000


def sample(gradient: Any, start: Tensor, steps: int, kept: int, every: int = 10, **settings: Any) -> Tensor:
    """(kept * chains, d) weights of independent chains after ``steps`` steps, with ``every`` steps between two."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weight = start.clone().requires_grad_()
        sampler = SGHMC([weight], **settings)
        found = []
        for step in range(steps + kept * every):
            weight.grad = gradient(weight.detach())
            sampler.step()
            if step >= steps and (step - steps) % every == 0:
                found.append(weight.detach().clone())
    return torch.cat(found)


def test_it_samples_a_gaussian_posterior() -> None:
    """Mean and covariance within 3 % of the largest standard deviation, and variance; the errors seen are below 1 %."""
    mean = torch.tensor([1.0, -2.0, 0.5])
    covariance = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, -0.3], [0.0, -0.3, 0.5]])
    precision = covariance.inverse()
    settings: dict[str, Any] = {"lr": 0.12, "burn_in": 200, "friction": 0.2, "noisy": False}
    found = sample(lambda w: (w - mean) @ precision, torch.zeros(CHAINS, 3), 500, 10, 50, **settings)
    torch.testing.assert_close(found.mean(dim=0), mean, atol=0.03, rtol=0)
    torch.testing.assert_close(found.T.cov(), covariance, atol=0.03, rtol=0)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_its_variance_has_the_closed_form_of_its_step(temperature: float) -> None:
    """With V = 1, h is the square of the step; the step is large, so that the bias of 23 % is seen."""
    h, curvature, friction = 0.3, 2.0, 0.4
    settings: dict[str, Any] = {"lr": h**0.5, "friction": friction, "temperature": temperature, "noisy": False}
    found = sample(lambda w: curvature * w, torch.zeros(CHAINS, 4), 50, 20, **settings)
    expected = temperature / curvature / (1 - h * curvature / (4 - 2 * friction))
    assert found.var() == pytest.approx(expected, rel=0.02) and found.mean() == pytest.approx(0, abs=0.02)


def test_the_prior_and_the_number_of_clips_define_the_posterior() -> None:
    """30 clips at 0.7 with unit noise, and a prior of deviation 0.2: a conjugate Gaussian."""
    precision = 30 + 1 / 0.2**2
    settings: dict[str, Any] = {"lr": 0.05, "clips": 30, "prior": 0.2, "burn_in": 200, "friction": 0.2, "noisy": False}
    found = sample(lambda w: w - 0.7, torch.zeros(CHAINS, 2), 500, 5, 50, **settings)
    assert found.mean() == pytest.approx(30 * 0.7 / precision, abs=0.01)
    assert found.var() == pytest.approx(1 / precision, rel=0.03)


def test_the_noise_of_batches_does_not_heat_it() -> None:
    """The gradient's noise dominates, so V is its variance; without the correction the posterior is 1.5 times wider."""
    noise, generator = 20.0, torch.Generator().manual_seed(1)

    def gradient(w: Tensor) -> Tensor:
        return w + noise * torch.randn(w.shape, generator=generator)

    found = {}
    for noisy in (True, False):
        settings: dict[str, Any] = {"lr": 0.1, "burn_in": 300, "friction": 0.2, "noisy": noisy}
        found[noisy] = float(sample(gradient, torch.randn(CHAINS, 2), 1500, 5, 100, **settings).var())
    assert found[True] == pytest.approx(1, rel=0.06) and found[False] == pytest.approx(1.5, rel=0.1)


def test_the_preconditioner_is_fixed_after_the_burn_in() -> None:
    weight = torch.zeros(3, requires_grad=True)
    sampler = SGHMC([weight], 0.1, burn_in=5)
    seen = []
    for step in range(10):
        weight.grad = torch.tensor([1.0, 10.0, 100.0]) * (step + 1)
        sampler.step()
        seen.append(sampler.state[weight]["square"].clone())
    assert not torch.equal(seen[3], seen[4]) and all(torch.equal(seen[4], other) for other in seen[5:])


def test_the_released_sampler_descends_and_samples_nothing() -> None:
    """30 steps of step size 0.002 move a weight by at most 1.7e-4, and their noise is far below it."""
    weight = torch.zeros(CHAINS, requires_grad=True)
    sampler = ReleasedSampler([weight], 2e-3)
    for _ in range(30):
        weight.grad = torch.ones(CHAINS)
        sampler.step()
    end = weight.detach()
    assert float(end.mean()) == pytest.approx(-30 * 2e-3**2 * 2**0.5, rel=1e-3) and float(end.std()) < 1e-6


def test_running_moments_are_those_of_the_batch_formula() -> None:
    path = 5 + 1e-3 * torch.randn(400, 3, 2, generator=torch.Generator().manual_seed(0))
    weight, other = torch.zeros(3, 2, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([weight, other], 0.1)
    assert torch.equal(moments(optimiser, weight)[1], torch.zeros(3, 2))
    for value in path:
        weight.data = value.clone()
        accumulate(optimiser)
    mean, variance = moments(optimiser, weight)
    torch.testing.assert_close(mean, path.mean(dim=0), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, path.double().var(dim=0, correction=0).float(), rtol=1e-2, atol=0)
    assert torch.equal(moments(optimiser, other)[0], torch.zeros(1))


def test_the_penalised_gradient_of_a_quadratic_loss_is_exact() -> None:
    """``g + lam A g / |g|`` by copy, with the curvature A."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(2, 4, 4, generator=generator, dtype=torch.float64)
    curvature = root @ root.transpose(1, 2)
    weight = torch.randn(2, 4, generator=generator, dtype=torch.float64).requires_grad_()

    def loss(own: Any) -> Tensor:
        return torch.einsum("ki,kij,kj->k", own[0], curvature, own[0]) / 2

    plain = torch.einsum("kij,kj->ki", curvature, weight).detach()
    penalty = torch.einsum("kij,kj->ki", curvature, plain / plain.norm(dim=1, keepdim=True))
    torch.testing.assert_close(penalised(loss, [weight], 0.1, 0.5)[0], plain + 0.5 * penalty)
    torch.testing.assert_close(penalised(loss, [weight], 0.0, 0.5)[0], plain)
