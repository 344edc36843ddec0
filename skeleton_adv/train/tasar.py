"""The post-training of TASAR: a posterior over small networks that are appended to a frozen recogniser."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Probability
from skeleton_adv.models.network import Network
from skeleton_adv.models.posterior import Appended
from skeleton_adv.train.moments import accumulate, moments
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.sampler import SGHMC, ReleasedSampler


@dataclass(frozen=True)
class TASAR(PostTraining):
    """TASAR: Transfer-based Attack on Skeletal Action Recognition (Diao et al., arXiv 2409.02483), post-training.

    ``copies`` networks (``models.posterior.Heads``) follow the frozen recogniser's logits; a sampler draws the weights
    of each from its posterior, and the means and variances along its path are stored for the attack.

    - ``epochs``, ``batch_size``; ``lr``: the sampler's step size; ``leaps``: its steps per batch
    - ``gamma``, ``lam``: the penalty on the gradient's norm (``penalised``), for a flat posterior; ``gamma=0``: none
    - ``prior``: the standard deviation of each weight under the prior
    - ``temperature``: of the posterior (1: Bayes' rule); ``friction``: see ``SGHMC``
    - ``burn_in``: the fraction of all steps after which the sampler no longer adapts and weights are counted
    - ``sampler``: ``sghmc``; ``released`` takes the steps of the released code, which follow the gradient of the
      mean loss without a prior and do not sample the posterior

    Differs from the released code: the loss is multiplied by the number of clips, as the posterior requires; velocity
    and preconditioner persist; the path is counted after the burn-in, not from the first step, with a count for each
    copy (there, a single count biases the means of all copies but the first towards their start); the last epoch is
    used, not the best on the test clips; the heads of a network of two streams see the sum of their logits.
    Raises ``SettingError`` if the network returns log-probabilities, which the heads rectify to 0.
    """

    epochs: Count = 30
    batch_size: Count = 32
    lr: Positive = 1e-2
    copies: Count = 3
    leaps: Count = 30
    gamma: NonNegative = 0.1
    lam: NonNegative = 1e-3
    prior: Positive = 0.1
    temperature: Positive = 1.0
    friction: Probability = 0.05
    burn_in: Probability = 0.5
    sampler: Literal["sghmc", "released"] = "sghmc"
    name = "tasar"

    def network(self, clean: Network) -> Network:
        if clean.log_probabilities:
            raise SettingError(
                "training=tasar appends networks to logits, but this network returns the log of a mean of "
                "probabilities: choose another model"
            )
        return Network(clean.preprocess, Appended(clean.model, self.copies, classes_of(clean)), clean.num_classes)

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head, logits = _head(model), _frozen_logits(model, batch)
        return by_copy(head(logits), batch.y).mean()

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        if self.sampler == "released":
            return ReleasedSampler(_head(model).parameters(), self.lr)
        steps = recipe.epochs * math.ceil(clips / recipe.batch_size) * self.leaps
        return SGHMC(
            _head(model).parameters(),
            self.lr,
            clips=clips,
            prior=self.prior,
            burn_in=round(self.burn_in * steps),
            friction=self.friction,
            temperature=self.temperature,
        )

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head, logits = _head(model), _frozen_logits(model, batch)
        weights = [*head.parameters()]
        released = self.sampler == "released"

        def loss(own: Sequence[Tensor]) -> Tensor:
            return by_copy(head(logits, own), batch.y)

        for leap in range(self.leaps):
            if leap == 0 or not released:
                gradients = penalised(loss, weights, self.gamma, self.lam)
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
            optimiser.step()
        if released or optimiser.state[weights[0]]["taken"] > optimiser.param_groups[0]["burn_in"]:
            accumulate(optimiser)
        with torch.no_grad():
            return loss(weights).mean()

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        keep_moments(_head(trained), _appended(trained).spread, optimiser)
        return trained


def penalised(
    loss: Callable[[Sequence[Tensor]], Tensor], weights: Sequence[Tensor], gamma: float, lam: float
) -> list[Tensor]:
    """The gradients of ``loss + lam * |gradient of loss|`` for each copy, by a finite difference of length ``gamma``.

    TASAR's dual optimisation: ``g + lam / gamma (g' - g)``, with g' the gradient at the weights moved by ``gamma``
    along g. ``loss(weights)`` is (K,), and the first dimension of the weights is the copy. Exact for a quadratic loss.
    """
    gradients = torch.autograd.grad(loss(weights).sum(), [*weights])
    if gamma == 0 or lam == 0:
        return [*gradients]
    norm = torch.stack([one.flatten(1).square().sum(dim=1) for one in gradients]).sum(dim=0).sqrt().clamp(min=1e-30)
    moved = [
        (weight + gamma * one / norm.view(-1, *[1] * (one.dim() - 1))).detach().requires_grad_()
        for weight, one in zip(weights, gradients, strict=True)
    ]
    there = torch.autograd.grad(loss(moved).sum(), moved)
    return [one + lam / gamma * (other - one) for one, other in zip(gradients, there, strict=True)]


@torch.no_grad()
def keep_moments(network: nn.Module, spread: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Set the weights of a network to their means, and its ``spread`` to their variances, along the training path."""
    for name, weight in network.named_parameters():
        mean, variance = moments(optimiser, weight)
        weight.copy_(mean)
        spread.get_buffer(name.replace(".", "/")).copy_(variance)


def classes_of(network: Network) -> int:
    """The number of classes of a network; raises ``SettingError`` if it is not known."""
    if network.num_classes is None:
        raise SettingError("the network's number of classes is not known: build it for a dataset")
    return network.num_classes


def _appended(model: nn.Module) -> Appended:
    assert isinstance(model, Network) and isinstance(model.model, Appended)
    return model.model


def _head(model: nn.Module) -> nn.Module:
    return _appended(model).appended


def _frozen_logits(model: nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N, C) logits of the frozen recogniser."""
    assert isinstance(model, Network)
    with torch.no_grad():
        logits: Tensor = _appended(model).backbone(*model.prepared(batch.x))
    return logits


def by_copy(logits: Tensor, y: Tensor) -> Tensor:
    """(K,) mean cross-entropy of each copy with logits (K, N, C)."""
    copies = len(logits)
    return F.cross_entropy(logits.flatten(0, 1), y.repeat(copies), reduction="none").view(copies, -1).mean(dim=1)
