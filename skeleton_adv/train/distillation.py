"""Defensive distillation, an example of masked gradients."""

from copy import deepcopy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Positive
from skeleton_adv.data.clips import Dataset
from skeleton_adv.train.inner import attacking
from skeleton_adv.train.losses import streams_of
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust


@dataclass(frozen=True)
class Distillation(Robust):
    """Distillation as a Defense to Adversarial Perturbations (Papernot et al., arXiv 1511.04508).

    A teacher learns the labels, and the network learns the teacher's probabilities, both with logits divided by
    ``temperature``. The deployed network does not divide, so its logits are ``temperature`` times as large as usual,
    and the gradient of its cross-entropy is 0 in float32. Attacks on that gradient fail, while attacks on the margin
    of the logits do not (Carlini and Wagner, arXiv 1608.04644): the defense only masks gradients.

    - ``temperature``: of both softmax functions

    Differs from the paper: teacher and network start from the same weights and are trained side by side, on the
    teacher's present outputs in evaluation mode; losses are multiplied by ``temperature``, so that the recipe's rate
    fits. Label smoothing is not used.
    """

    temperature: Positive = 20.0
    name = "distillation"

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> "Distilled":
        return Distilled(network)

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        assert isinstance(trained, Distilled)
        return trained.network

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        assert isinstance(model, Distilled)
        with torch.no_grad(), attacking(model.teacher, "eval"):
            soft = [F.softmax(logits / self.temperature, dim=1) for logits in streams_of(model.teacher, batch.x)]
        losses = [F.cross_entropy(logits / self.temperature, batch.y) for logits in streams_of(model.teacher, batch.x)]
        for logits, target in zip(streams_of(model.network, batch.x), soft, strict=True):
            losses.append(F.cross_entropy(logits / self.temperature, target))
        return self.temperature * torch.stack(losses).sum()


class Distilled(nn.Module):
    """The network that is trained, and its teacher; the outputs are those of the network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.teacher = network, deepcopy(network)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits
