"""Adversarial training: the network learns from clips that are attacked at every step."""

from dataclasses import dataclass

from torch import Tensor, nn

from skeleton_adv.attacks.losses import cross_entropy
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive
from skeleton_adv.train.inner import JUDGED, Mode, attacking, in_ball, step_of
from skeleton_adv.train.losses import stream_cross_entropy
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust


@dataclass(frozen=True)
class Adversarial(Robust):
    """Towards Deep Learning Models Resistant to Adversarial Attacks (Madry et al., arXiv 1706.06083).

    The loss is the cross-entropy of clips after PGD from a random start. With one step it is Fast is better than free
    (Wong et al., arXiv 2001.03994). Epochs are chosen by the accuracy under PGD on held-out clips, as in Overfitting
    in adversarially robust deep learning (Rice et al., arXiv 2002.11569).

    - ``norm``, ``eps``: of the ball, as in ``attack=pgd``; metres (joints in an image: fractions of it)
    - ``steps``; ``step_length``: metres; None: 2.5 eps / steps, at most 1.25 eps (that of Wong et al.)
    - ``mode``: of the network while it is attacked (``inner.attacking``)

    Differs from the papers: running statistics of batch normalisation are those of the attacked clips only, not also
    those of the iterates of the attack. A network of two streams is attacked as a whole, and each stream is trained.
    """

    norm: Norm = "linf"
    eps: Positive = 0.01
    steps: Count = 7
    step_length: Positive | None = None
    mode: Mode = "train"
    name = "adversarial"

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        with attacking(model, self.mode):
            x_adv = self.attacked(model, batch, self.steps)
        return stream_cross_entropy(model, x_adv, batch.y, recipe.label_smoothing)

    def judged(self, model: nn.Module, batch: SkeletonBatch) -> Tensor:
        return self.attacked(model, batch, max(self.steps, JUDGED), random_start=False)

    def attacked(self, model: nn.Module, batch: SkeletonBatch, steps: int, random_start: bool = True) -> Tensor:
        """The clips (N, C, T, V, M) after PGD on the cross-entropy."""
        return in_ball(
            lambda x: cross_entropy(model(x), batch.y),
            batch,
            self.ball,
            step=self.length(steps),
            steps=steps,
            random_start=random_start,
        )

    def length(self, steps: int) -> float:
        """The length of a step in metres, if there are this many."""
        return step_of(self.step_length if steps == self.steps else None, self.eps, steps)

    @property
    def ball(self) -> Ball:
        """The budget."""
        return Ball(self.norm, self.eps)
