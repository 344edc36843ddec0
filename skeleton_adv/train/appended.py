"""Post-trainings of small networks that are appended to a frozen recogniser, whose weights a sampler draws."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Positive, Probability
from skeleton_adv.models.network import Network
from skeleton_adv.models.posterior import Appended
from skeleton_adv.train.moments import accumulate
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.sampler import SGHMC, ReleasedSampler


@dataclass(frozen=True)
class AppendedTraining(PostTraining):
    """The training of ``copies`` networks (``models.posterior.Heads``) that follow the frozen recogniser's logits.

    A sampler draws the weights of each from its posterior.

    - ``epochs``, ``batch_size``; ``lr``: the sampler's step size; ``leaps``: its steps per batch
    - ``prior``: the standard deviation of each weight under the prior
    - ``temperature``: of the posterior (1: Bayes' rule); ``friction``: see ``SGHMC``
    - ``burn_in``: the fraction of all steps after which the sampler no longer adapts and weights are counted
    - ``sampler``: ``sghmc``; ``released`` takes the steps of the released code, which follow the gradient of the
      mean loss without a prior and do not sample the posterior

    Raises ``SettingError`` if the network returns log-probabilities, which the heads rectify to 0.
    """

    batch_size: Count = 32
    lr: Positive = 1e-2
    copies: Count = 1
    leaps: Count = 30
    prior: Positive = 0.1
    temperature: Positive = 1.0
    friction: Probability = 0.05
    burn_in: Probability = 0.5
    sampler: Literal["sghmc", "released"] = "sghmc"

    def network(self, start: Network) -> Network:
        if start.log_probabilities:
            raise SettingError(
                f"training={self.name} appends networks to logits, but this network returns the log of a mean of "
                "probabilities: choose another model"
            )
        if start.num_classes is None:
            raise SettingError("the network's number of classes is not known: build it for a dataset")
        return Network(start.preprocess, Appended(start.model, self.copies, start.num_classes), start.num_classes)

    def sampler_of(self, head: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        """The sampler of the weights of the appended networks."""
        if self.sampler == "released":
            return ReleasedSampler(head.parameters(), self.lr)
        steps = recipe.epochs * math.ceil(clips / recipe.batch_size) * self.leaps
        return SGHMC(
            head.parameters(),
            self.lr,
            clips=clips,
            prior=self.prior,
            burn_in=round(self.burn_in * steps),
            friction=self.friction,
            temperature=self.temperature,
        )

    def sample(
        self,
        optimiser: torch.optim.Optimizer,
        weights: Sequence[Tensor],
        gradients: Callable[[], Sequence[Tensor]],
    ) -> None:
        """The sampler's steps on one batch; ``gradients`` returns those at the present weights."""
        released = self.sampler == "released"
        for leap in range(self.leaps):
            if leap == 0 or not released:
                for weight, gradient in zip(weights, gradients(), strict=True):
                    weight.grad = gradient
            optimiser.step()
        if released or optimiser.state[weights[0]]["taken"] > optimiser.param_groups[0]["burn_in"]:
            accumulate(optimiser)


def appended(model: nn.Module) -> Appended:
    """The frozen recogniser and its appended networks."""
    assert isinstance(model, Network) and isinstance(model.model, Appended)
    return model.model


def by_copy(logits: Tensor, y: Tensor) -> Tensor:
    """(K,) mean cross-entropy of each copy with logits (K, N, C)."""
    copies = len(logits)
    return F.cross_entropy(logits.flatten(0, 1), y.repeat(copies), reduction="none").view(copies, -1).mean(dim=1)
