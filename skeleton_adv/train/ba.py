"""The fine-tuning of a Bayesian attack: a Gaussian posterior over all weights of a recogniser (SWAG)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Probability
from skeleton_adv.models.network import Network
from skeleton_adv.models.posterior import with_spread
from skeleton_adv.train.moments import accumulate, keep_moments
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class BA(PostTraining):
    """Making Substitute Models More Bayesian Can Enhance Transferability of Adversarial Examples (Li et al.,
    arXiv 2302.05086), with the diagonal of SWAG (Maddox et al., arXiv 1902.02476), as RobustBenchHAR runs it.

    All weights are fine-tuned by stochastic gradient descent with a constant rate; their means and variances along the
    path are the posterior, without SWAG's low-rank part.

    - ``epochs``, ``batch_size``, ``lr``, ``momentum``: of the fine-tuning
    - ``burn_in``: the fraction of all batches after which weights are counted

    Differs from both: statistics of batch normalisation stay those of the clean weights, so that each drawn network
    is complete; weights are counted after every batch, not 300 times, and after the burn-in; and the rate is a tenth of
    RobustBenchHAR's, with which HCN diverges on UTD-MHAD.
    """

    epochs: Count = 20
    batch_size: Count = 64
    lr: Positive = 1e-3
    momentum: Probability = 0.9
    burn_in: Probability = 0.25
    name = "ba"

    def network(self, clean: Network) -> Network:
        with_spread(clean.model)
        return clean

    def recipe(self, recipe: Recipe) -> Recipe:
        return replace(super().recipe(recipe), optimiser="sgd", momentum=self.momentum)

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        optimiser = super().optimiser(model, recipe, clips)
        batches = recipe.epochs * math.ceil(clips / recipe.batch_size)
        optimiser.param_groups[0] |= {"taken": 0, "burn_in": round(self.burn_in * batches)}
        return optimiser

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.eval()
        loss = super().step(model, optimiser, batch, recipe)
        group = optimiser.param_groups[0]
        group["taken"] += 1
        if group["taken"] > group["burn_in"]:
            accumulate(optimiser)
        return loss

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        assert isinstance(trained, Network)
        keep_moments(trained.model, trained.model.get_submodule("spread"), optimiser)
        return trained
