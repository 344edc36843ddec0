"""Training with Gaussian noise, which certificates require."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import NonNegative
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training


@dataclass(frozen=True)
class GaussianNoise(Training):
    """Certified Adversarial Robustness via Randomized Smoothing (Cohen et al., arXiv 1902.02918), section 3.3.

    Adds Gaussian noise of standard deviation ``sigma`` (metres; image: fractions of it) to every coordinate of every
    existing joint of every training clip. ``recipe.noise_warmup`` increases it over the first epochs. If ``sigma`` is
    0, the weights are those of training without noise.
    """

    sigma: NonNegative = 0.25
    name = "noise"

    @property
    def tag(self) -> str:
        return f"noise{self.sigma:g}" if self.sigma else ""

    def identity(self) -> dict[str, Any]:
        # This key predates the group ``training``; it remains, so that older weights are still found.
        return {"noise": self.sigma} if self.sigma else {}

    def check(self, recipe: Recipe) -> None:
        if self.sigma and recipe.noise_warmup and recipe.held_out:
            raise SettingError(
                f"recipe.held_out={recipe.held_out} may choose epochs before the noise has its full strength "
                f"(recipe.noise_warmup={recipe.noise_warmup}): set recipe.held_out=0.0"
            )

    def clip(
        self, frames: np.ndarray, exists: np.ndarray, coords: Sequence[int], rng: random.Random, strength: float
    ) -> np.ndarray:
        if self.sigma:
            noise = np.random.Generator(np.random.PCG64(rng.getrandbits(48))).standard_normal(frames.shape, np.float32)
            at = list(coords)
            frames[at] += self.sigma * strength * noise[at] * exists
        return frames
