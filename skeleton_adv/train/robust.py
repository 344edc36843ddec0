"""Training for robustness: it starts from random weights, or from clean weights."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from skeleton_adv.core.ranges import Count, Positive
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import NamedByChanges


@dataclass(frozen=True)
class Robust(NamedByChanges):
    """A training with its own loss, from random weights by the recipe, or from the network's clean weights.

    - ``start_from``: ``random``: the recipe as it is, with its held-out clips. ``clean``: the weights that
      ``training=none`` gave with the same seed; the rate falls to 0 along a cosine, and all epochs run, because
      the clean weights have seen every training clip
    - ``epochs``, ``batch_size``: None: those of the recipe
    - ``lr``: None: that of the recipe, or a tenth of it from clean weights
    """

    start_from: Literal["random", "clean"] = "random"
    epochs: Count | None = None
    batch_size: Count | None = None
    lr: Positive | None = None

    @property
    def starts_clean(self) -> bool:
        return self.start_from == "clean"

    def recipe(self, recipe: Recipe) -> Recipe:
        own: dict[str, Any] = {name: getattr(self, name) for name in ("epochs", "batch_size", "lr")}
        own = {name: value for name, value in own.items() if value is not None}
        if self.starts_clean:
            own = {"lr": recipe.lr / 10, "schedule": "cosine", "milestones": (), "warmup": 0, "held_out": 0.0} | own
        return replace(recipe, **{**own, "noise_warmup": 0.0})
