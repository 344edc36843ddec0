"""Adversarial training with bodies of other proportions."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from skeleton_adv.attacks.losses import cross_entropy
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Range
from skeleton_adv.train.inner import JUDGED, Mode, attacking, in_bones, step_of
from skeleton_adv.train.losses import stream_cross_entropy
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust


@dataclass(frozen=True)
class BoneAdversarial(Robust):
    """Adversarial Bone Length Attack on Action Recognition (Tanaka et al., AAAI 2022, arXiv 2109.05830), Sec. 5.

    The loss is the cross-entropy of clips whose bones are multiplied by one factor per bone and person, constant
    over time, that sign steps from 1 choose (``attack=bone_length``). Directions of bones do not change. Epochs are
    chosen by the accuracy under this attack on held-out clips.

    - ``factor_eps``: the largest ``|factor - 1|``; a share of the bone, not metres
    - ``steps``; ``step_length``: change of a factor per step; None: 2.5 factor_eps / steps, at most 1.25 factor_eps
    - ``mode``: of the network while it is attacked (``inner.attacking``)
    """

    factor_eps: Annotated[float, Range("(0, 1)")] = 0.1
    steps: Count = 5
    step_length: Positive | None = None
    mode: Mode = "train"
    name = "bone_adversarial"

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        with attacking(model, self.mode):
            x_adv = self.attacked(model, batch, self.steps)
        return stream_cross_entropy(model, x_adv, batch.y, recipe.label_smoothing)

    def judged(self, model: nn.Module, batch: SkeletonBatch) -> Tensor:
        return self.attacked(model, batch, max(self.steps, JUDGED))

    def attacked(self, model: nn.Module, batch: SkeletonBatch, steps: int) -> Tensor:
        """The clips (N, C, T, V, M) with the factors after this many steps."""
        step = step_of(self.step_length if steps == self.steps else None, self.factor_eps, steps)
        return in_bones(lambda x: cross_entropy(model(x), batch.y), batch, self.factor_eps, step=step, steps=steps)
