"""Training that starts from the clean weights of the same network: fine-tuning, appended parts, posteriors."""

from dataclasses import dataclass, replace
from typing import Any

from skeleton_adv.core.ranges import Count, Positive
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import NamedByChanges


@dataclass(frozen=True)
class PostTraining(NamedByChanges):
    """A training that starts from the network's weights that ``training=none`` gave with the same seed.

    It has its own epochs, batches and constant learning rate; augmentation is that of the recipe. All epochs run, on
    all training clips. A subclass overrides ``network`` if it appends parts, and ``loss``, ``optimiser``, ``step`` or
    ``finish``. Everything that is stored, or kept between epochs, must be in the state of the network's model or
    of the optimiser.
    """

    epochs: Count = 10
    batch_size: Count = 64
    lr: Positive = 1e-3

    @property
    def starts_clean(self) -> bool:
        return True

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe's augmentation with the epochs, batches and learning rate of this training."""
        own: dict[str, Any] = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        constant: dict[str, Any] = {"schedule": "steps", "milestones": (), "warmup": 0, "noise_warmup": 0.0}
        # A variance does not fit into float16; the clean weights are stored as read.
        return replace(recipe, **own, **constant, held_out=0.0, half=False)
