"""The part of a victim's training beyond its recipe: the group ``training``."""

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import check_call
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.clips import Dataset, Prepared
from skeleton_adv.models.network import Network
from skeleton_adv.train.losses import stream_cross_entropy
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class Training:
    """A method of training beyond the recipe. This one adds nothing; each other method overrides what it changes.

    Usually that is ``clip`` or ``loss``; ``optimiser`` and ``step`` are for methods that do not descend on a loss,
    ``start`` and ``finish`` for those that train more than the network, which is saved. The fields of a subclass are
    its settings, and all of them belong to the identity of the weights.
    """

    name: ClassVar[str]
    supervised: ClassVar[bool] = True  # whether it uses labels; without them the outputs are features, not logits

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "training.")

    @property
    def tag(self) -> str:
        """Its part of the weights' file name; empty if it adds nothing."""
        values = "_".join(f"{value:g}" if isinstance(value, float) else str(value) for value in asdict(self).values())
        return f"{self.name}{values}"

    def identity(self) -> dict[str, Any]:
        """What it adds to the identity of the weights; empty if it changes nothing."""
        return {"training": {"name": self.name, **asdict(self)}}

    def recipe(self, recipe: Recipe) -> Recipe:
        """The recipe that is followed, made of the one that was chosen."""
        return recipe

    def check(self, recipe: Recipe) -> None:
        """Raise ``SettingError`` if it does not fit this recipe."""

    def learns_from(self, dataset: Dataset, prepared: Prepared, settings: Mapping[str, Any]) -> Prepared:
        """The clips whose training half it learns from; ``settings`` are those of the dataset that change clips."""
        return prepared

    @property
    def starts_clean(self) -> bool:
        """Whether it starts from the network's weights that ``training=none`` gave with the same seed."""
        return False

    def network(self, start: Network) -> Network:
        """The network that is trained, made from the untrained or the clean one, which may be changed."""
        return start

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> nn.Module:
        """The module that is trained on this number of clips, whose state is kept while it is trained."""
        return network

    @property
    def versions(self) -> int:
        """How often each clip is in a batch, each time changed by ``clip``; its versions follow each other."""
        return 1

    def clip(
        self, frames: np.ndarray, exists: np.ndarray, skeleton: Skeleton, rng: random.Random, strength: float
    ) -> np.ndarray:
        """The training clip made of ``frames`` (C, T, V, M), in the dataset's unit; ``exists`` (T, V, M): joints.

        ``strength`` in [0, 1] is the fraction of the full strength.
        """
        return frames

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        """The mean loss over a batch."""
        return stream_cross_entropy(model, batch.x, batch.y, recipe.label_smoothing)

    def judged(self, model: nn.Module, batch: SkeletonBatch) -> Tensor:
        """The clips (N, C, T, V, M) on which the held-out accuracy is measured, with the model in evaluation mode."""
        return batch.x

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        """The optimiser of a model that is trained on this number of clips. Its state is kept between the epochs."""
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        if recipe.optimiser != "sgd":
            kinds: dict[str, type[torch.optim.Adam]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
            return kinds[recipe.optimiser](weights, recipe.lr, weight_decay=recipe.weight_decay)
        nesterov = recipe.momentum > 0
        return torch.optim.SGD(weights, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=nesterov)

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        """Train on one batch; return its mean loss. The global generator of torch is seeded for the epoch."""
        loss = self.loss(model, batch, recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
        optimiser.step()
        return loss.detach()

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        """The complete network, after the last epoch of the module of ``start``."""
        return trained


@dataclass(frozen=True)
class NamedByChanges(Training):
    """A training whose weights are named by the settings that differ from their defaults."""

    @property
    def tag(self) -> str:
        own = [one.name for one in fields(self) if getattr(self, one.name) != one.default]
        return "_".join([self.name, *(f"{name}{_as_text(getattr(self, name))}" for name in own)])

    def identity(self) -> dict[str, Any]:
        return {"training": {"name": self.tag, "settings": asdict(self)}}


def _as_text(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


@dataclass(frozen=True)
class Plain(Training):
    """Training by the recipe alone."""

    name = "none"

    @property
    def tag(self) -> str:
        return ""

    def identity(self) -> dict[str, Any]:
        return {}
