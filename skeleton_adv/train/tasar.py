"""The post-training of TASAR: a posterior over small networks that are appended to a frozen recogniser."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative
from skeleton_adv.models.network import Network
from skeleton_adv.train.appended import AppendedTraining, appended, by_copy
from skeleton_adv.train.moments import keep_moments
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class TASAR(AppendedTraining):
    """TASAR: Transfer-based Attack on Skeletal Action Recognition (Diao et al., arXiv 2409.02483), post-training.

    The means and variances along the sampler's path are stored for the attack.

    - ``gamma``, ``lam``: the penalty on the gradient's norm (``penalised``), for a flat posterior; ``gamma=0``: none
    - other settings: see ``AppendedTraining``

    Differs from the released code: the loss is multiplied by the number of clips, as the posterior requires; velocity
    and preconditioner persist; the path is counted after the burn-in, not from the first step, with a count for each
    copy (there, a single count biases the means of all copies but the first towards their start); the last epoch is
    used, not the best on the test clips; the heads of a network of two streams see the sum of their logits.
    """

    epochs: Count = 30
    batch_size: Count = 32
    copies: Count = 3
    gamma: NonNegative = 0.1
    lam: NonNegative = 1e-3
    name = "tasar"

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head, logits = _head(model), _frozen_logits(model, batch)
        return by_copy(head(logits), batch.y).mean()

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        return self.sampler_of(_head(model), recipe, clips)

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head, logits = _head(model), _frozen_logits(model, batch)
        weights = [*head.parameters()]

        def loss(own: Sequence[Tensor]) -> Tensor:
            return by_copy(head(logits, own), batch.y)

        self.sample(optimiser, weights, lambda: penalised(loss, weights, self.gamma, self.lam))
        with torch.no_grad():
            return loss(weights).mean()

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        keep_moments(_head(trained), appended(trained).spread, optimiser)
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


def _head(model: nn.Module) -> nn.Module:
    return appended(model).appended


def _frozen_logits(model: nn.Module, batch: SkeletonBatch) -> Tensor:
    """(N, C) logits of the frozen recogniser."""
    assert isinstance(model, Network)
    with torch.no_grad():
        logits: Tensor = appended(model).backbone(*model.prepared(batch.x))
    return logits
