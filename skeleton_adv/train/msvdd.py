"""M-SVDD: one-class classifiers instead of the last linear layer."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive
from skeleton_adv.models.network import Network
from skeleton_adv.models.one_class import head_of, with_one_class_head
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust


@dataclass(frozen=True)
class MSVDD(Robust):
    """After M-SVDD (Mygdalis and Pitas): multiple one-class classifiers with class verification; the formula is ours.

    Only the abstract was read: non-linear one-class classifiers replace the final linear layer, and the class is
    verified. The scores are those of ``models.one_class.OneClassHead``, which are what attacks receive; their
    gradients are finite everywhere. The loss is the cross-entropy of the scores divided by ``temperature``, plus
    ``weight`` times that of support vector data description (Tax and Duin, 2004) for the own class,
    ``R^2 + relu(|phi(f) - a|^2 - R^2) / nu``.

    - ``dim``: of the space of the spheres
    - ``nu``: the fraction of a class's clips that may be outside its sphere
    - ``temperature``, ``weight``

    Raises ``SettingError`` if the network's last layer is not linear.
    """

    dim: Count = 64
    nu: Fraction = 0.1
    temperature: Positive = 1.0
    weight: NonNegative = 0.1
    name = "msvdd"

    def network(self, start: Network) -> Network:
        return Network(start.preprocess, with_one_class_head(start.model, self.dim), start.num_classes)

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        scores: Tensor = model(batch.x)
        square = head_of(model).radii.square()[batch.y]
        outside = -scores.gather(1, batch.y[:, None])[:, 0]
        spheres = (square + outside.relu() / self.nu).mean()
        loss = F.cross_entropy(scores / self.temperature, batch.y, label_smoothing=recipe.label_smoothing)
        return loss + self.weight * spheres
