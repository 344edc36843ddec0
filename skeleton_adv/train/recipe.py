"""The recipe of a victim's training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive, Probability, Range, check_call


@dataclass(frozen=True)
class Recipe:
    """How a victim is trained.

    - ``schedule``: ``exponential`` multiplies the learning rate by ``gamma`` after every epoch, ``steps`` at every
      epoch in ``milestones``; ``cosine`` lowers it to 0 at the last epoch
    - ``warmup``: the first epochs, over which the learning rate grows linearly to its full value
    - ``crop``: the smallest fraction of a clip that a training window covers
    - ``rotation``: the largest angles in degrees about x, y and z; each clip's angles are drawn uniformly
    - ``random_move``: whether x and y of each clip rotate, scale and shift over its frames (``augment.random_move``)
    - ``clip_norm``: the largest norm of a gradient
    - ``dropout``: the rate of every dropout layer (None: the model's default)
    - ``held_out``: the fraction of training clips on which the number of epochs is chosen (0: all ``epochs`` run)
    - ``half``: whether weights are stored as float16
    - ``noise_warmup``: the fraction of the epochs over which training noise increases to its standard deviation
    """

    epochs: Count = 400
    batch_size: Count = 64
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Positive = 1e-3
    momentum: Probability = 0.9
    weight_decay: NonNegative = 1e-4
    schedule: Literal["exponential", "steps", "cosine"] = "exponential"
    gamma: Fraction = 0.99
    milestones: Sequence[int] = ()
    clip_norm: Positive | None = 32.0
    label_smoothing: Probability = 0.0
    dropout: Probability | None = None
    crop: Fraction = 0.5
    rotation: Sequence[float] = (0.0, 0.0, 0.0)
    random_move: bool = False
    held_out: Probability = 0.1
    half: bool = True
    noise_warmup: Probability = 0.0
    warmup: Annotated[int, Range("[0, 1000]")] = 0

    def __post_init__(self) -> None:
        check_call(Recipe, vars(self), "recipe.")
        if len(self.rotation) != 3 or not all(isinstance(angle, int | float) for angle in self.rotation):
            raise SettingError(f"recipe.rotation={list(self.rotation)} must be three angles, in degrees")
        if not all(isinstance(epoch, int) for epoch in self.milestones):
            raise SettingError(f"recipe.milestones={list(self.milestones)} must be epochs (whole numbers)")

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        if epoch < self.warmup:
            return self.lr * (epoch + 1) / self.warmup
        if self.schedule == "exponential":
            return self.lr * self.gamma**epoch
        if self.schedule == "steps":
            return float(self.lr * self.gamma ** sum(epoch >= milestone for milestone in self.milestones))
        return self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))

    def noise_share(self, epoch: int) -> float:
        """The fraction of its full strength that training noise has at an epoch, counted from 0."""
        return min(1.0, (epoch + 1) / max(self.noise_warmup * self.epochs, 1))
