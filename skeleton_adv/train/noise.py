"""Training with Gaussian noise, which certificates require."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from skeleton_adv.certificates.spaces import SPACES, check_space, space_of, used
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.core.turning import Up
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training


@dataclass(frozen=True)
class GaussianNoise(Training):
    """Certified Adversarial Robustness via Randomized Smoothing (Cohen et al., arXiv 1902.02918), section 3.3.

    Adds Gaussian noise of standard deviation ``sigma`` to every training clip: to every coordinate of every existing
    joint, in metres (image: fractions of it), or to the parameters of another ``space`` in their unit
    (``certificates.spaces``, as the other settings). ``recipe.noise_warmup`` increases it over the first epochs. If
    ``sigma`` is 0, the weights are those of training without noise.
    """

    sigma: NonNegative = 0.25
    space: str = "joints"
    yaw: Positive = 0.25
    up: Up = "y"
    components: Count = 4
    length: Positive = 4.0
    nugget: Fraction = 0.01
    joint_scales: Mapping[str, float] = field(default_factory=dict)
    name = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_space("training.space", self.space)

    @property
    def tag(self) -> str:
        if not self.sigma or self.space == "joints":
            return f"noise{self.sigma:g}" if self.sigma else ""
        plain = asdict(GaussianNoise())
        own = [name for name in SPACES[self.space] if getattr(self, name) != plain[name]]
        return "_".join([f"noise{self.sigma:g}_{self.space}", *(f"{name}{_text(getattr(self, name))}" for name in own)])

    def identity(self) -> dict[str, Any]:
        # This key predates the group ``training``; it remains, so that older weights are still found.
        old = {"noise": self.sigma} if self.sigma else {}
        if not self.sigma or self.space == "joints":
            return old
        return {**old, "training": {"name": self.name, **used(asdict(self))}}

    def check(self, recipe: Recipe) -> None:
        if self.sigma and recipe.noise_warmup and recipe.held_out:
            raise SettingError(
                f"recipe.held_out={recipe.held_out} may choose epochs before the noise has its full strength "
                f"(recipe.noise_warmup={recipe.noise_warmup}): set recipe.held_out=0.0"
            )

    def clip(
        self, frames: np.ndarray, exists: np.ndarray, skeleton: Skeleton, rng: random.Random, strength: float
    ) -> np.ndarray:
        if not self.sigma:
            return frames
        noise = np.random.Generator(np.random.PCG64(rng.getrandbits(48)))
        if self.space == "joints":
            drawn, at = noise.standard_normal(frames.shape, np.float32), list(skeleton.coords)
            frames[at] += self.sigma * strength * drawn[at] * exists
            return frames
        batch, space = _one(frames, exists, skeleton), space_of(self)
        space.check(skeleton, frames.shape[1])
        shape = tuple(space.parameters(batch).shape)
        params = self.sigma * strength * torch.from_numpy(noise.standard_normal(shape, np.float32))
        moved: np.ndarray = space.moved(batch, params.to(batch.x))[0].numpy()
        return moved


def _one(frames: np.ndarray, exists: np.ndarray, skeleton: Skeleton) -> SkeletonBatch:
    """A batch of one training clip."""
    x, mask = torch.from_numpy(frames)[None], torch.from_numpy(exists)[None, None]
    none = torch.zeros(1, dtype=torch.long)
    return SkeletonBatch(x, none, mask, none, torch.ones(1), skeleton)


def _text(value: Any) -> str:
    return "+".join(f"{name}{one:g}" for name, one in value.items()) if isinstance(value, Mapping) else str(value)
