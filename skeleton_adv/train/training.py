"""The part of a victim's training beyond its recipe: the group ``training``."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.data.clips import Dataset
from skeleton_adv.train.losses import stream_cross_entropy
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """A method of training beyond the recipe. This one adds nothing; each other method overrides ``clip`` or ``loss``.

    The fields of a subclass are its settings, and all of them belong to the identity of the weights. A method that
    trains more than the network, which is saved, overrides ``start`` and ``finish``.
    """

    name: ClassVar[str]
    supervised: ClassVar[bool] = True  # whether it uses labels; without them the outputs are features, not logits

    @property
    def tag(self) -> str:
        """Its part of the weights' file name; empty if it adds nothing."""
        values = "_".join(f"{value:g}" if isinstance(value, float) else str(value) for value in asdict(self).values())
        return f"{self.name}{values}"

    def identity(self) -> dict[str, Any]:
        """What it adds to the identity of the weights; empty if it changes nothing."""
        return {"training": {"name": self.name, **asdict(self)}}

    def check(self, recipe: Recipe) -> None:
        """Raise ``SettingError`` if it does not fit this recipe."""

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> nn.Module:
        """The module that is trained on this number of clips, whose state is kept while it is trained."""
        return network

    def finish(self, trained: nn.Module) -> nn.Module:
        """The network in the module of ``start``."""
        return trained

    def clip(
        self, frames: np.ndarray, exists: np.ndarray, coords: Sequence[int], rng: random.Random, strength: float
    ) -> np.ndarray:
        """The training clip made of ``frames`` (C, T, V, M), in the dataset's unit; ``exists`` (T, V, M): joints.

        ``coords`` are the channels of coordinates; ``strength`` in [0, 1] is the fraction of the full strength.
        """
        return frames

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        """The mean loss over a batch."""
        return stream_cross_entropy(model, batch.x, batch.y, recipe.label_smoothing)


@dataclass(frozen=True)
class Plain(Training):
    """Training by the recipe alone."""

    name = "none"

    @property
    def tag(self) -> str:
        return ""

    def identity(self) -> dict[str, Any]:
        return {}
