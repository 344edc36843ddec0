"""Training with Gaussian noise that also makes the outputs for several draws of it alike."""

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.certificates.spaces import used
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import NonNegative, Positive, Range
from skeleton_adv.train.losses import streams_of
from skeleton_adv.train.noise import GaussianNoise
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class Consistency(GaussianNoise):
    """Consistency Regularization for Certified Robustness of Smoothed Classifiers (Jeong and Shin, arXiv 2006.04062).

    Each clip is in a batch ``draws`` times, with independent noise. The loss is the mean cross-entropy, plus ``weight``
    times the mean KL divergence of each draw's probabilities from their mean over the draws, plus ``entropy`` times the
    entropy of this mean. The other settings are those of ``GaussianNoise``. A certificate treats the network as any
    other that was trained with the same noise: its proof is unchanged.

    Differs from the paper: batches contain ``draws`` versions of each clip after its augmentation, and the noise may
    grow over the first epochs (``recipe.noise_warmup``) or be in another space.
    """

    sigma: Positive = 0.25
    draws: Annotated[int, Range("[2, inf)")] = 2
    weight: NonNegative = 10.0
    entropy: NonNegative = 0.5
    name = "consistency"

    @property
    def versions(self) -> int:
        return self.draws

    @property
    def tag(self) -> str:
        return f"{super().tag}_consistency{self.draws}_{self.weight:g}_{self.entropy:g}"

    def identity(self) -> dict[str, Any]:
        return {"noise": self.sigma, "training": {"name": self.name, **used(asdict(self))}}

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        total = torch.zeros((), device=batch.x.device)
        for logits in streams_of(model, batch.x):
            total = total + F.cross_entropy(logits, batch.y, label_smoothing=recipe.label_smoothing)
            divergence, entropy = spread(logits.reshape(-1, self.draws, logits.shape[-1]))
            total = total + self.weight * divergence.mean() + self.entropy * entropy.mean()
        return total


def spread(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The mean divergence of draws from their mean (N,), and the entropy (N,) of this mean, in nats.

    ``logits`` (N, draws, K). The divergence is KL(mean || draw), of probabilities.
    """
    log_p = F.log_softmax(logits, dim=-1)
    log_mean = log_p.logsumexp(dim=1, keepdim=True) - math.log(logits.shape[1])
    mean = log_mean.exp()
    divergence = (mean * (log_mean - log_p)).sum(dim=-1).mean(dim=1)
    return divergence, -(mean * log_mean).sum(dim=-1)[:, 0]
