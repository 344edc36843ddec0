"""PCL: prototype conformity, which separates the classes in the features of two layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import NonNegative, Positive, nearest
from skeleton_adv.data.clips import Dataset
from skeleton_adv.models.network import Network
from skeleton_adv.models.stages import channel_axis_of
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.robust import Robust

BOUNDS = (1e-12, 1e12)  # of squared distances, as in the authors' code


@dataclass(frozen=True)
class PCL(Robust):
    """Adversarial Defense by Restricting the Hidden Space of Deep Neural Networks (Mustafa et al., arXiv 1904.00887).

    The loss adds to the cross-entropy, for each of the layers, ``attract`` times the mean squared distance of the
    pooled features from the centre of their class, minus ``repel`` times that from the centres of all other classes.
    As in the authors' code, the centres that attract and those that repel are two sets, start at normal numbers, and
    follow their own gradients, divided by the weight of their term, at their own rates. AutoAttack leaves 0.55 % of
    the 32.3 % of robust accuracy that the paper reports on CIFAR-10.

    - ``start_from``: the authors start from a network that the cross-entropy has trained
    - ``layers``: names among the network's ``layers``; empty: the penultimate layer, and the last one before it that
      has another number of channels (HCN: conv6 and fc7; 2s-AGCN's streams: l7 and pool)
    - ``attract``, ``repel``: weights; ``attract_rate``, ``repel_rate``: of the centres

    Features are averaged over frames, joints and the persons that exist. Raises ``SettingError`` if the network
    names no layers, or has several streams and ``layers`` is empty.
    """

    start_from: Literal["random", "clean"] = "clean"
    layers: Sequence[str] = ()
    attract: Positive = 1.0
    repel: Positive = 1e-4
    attract_rate: NonNegative = 0.5
    repel_rate: NonNegative = 1e-4
    name = "pcl"

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))  # a list from a file is the same setting
        super().__post_init__()

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> "Prototypes":
        if not isinstance(network, Network) or not getattr(network.model, "layers", {}):
            raise SettingError("training=pcl requires a network that names its layers, such as model=hcn")
        size = 1, dataset.skeleton.channels, dataset.num_frames, dataset.skeleton.num_joints, dataset.num_persons
        was = network.training
        with torch.no_grad():
            found = network.eval().features(torch.zeros(size))
        network.train(was)
        by_person: Mapping[str, bool] = network.model.layers  # type: ignore[assignment]
        axis = channel_axis_of(network.model)
        widths = {name: value.shape[-1 if axis == -1 else axis + by_person[name]] for name, value in found.items()}
        return Prototypes(network, {name: widths[name] for name in self._chosen(network, widths)}, len(dataset.classes))

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        return _prototypes(trained).network

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        return super().optimiser(_prototypes(model).network, recipe, clips)

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        own = _prototypes(model)
        axis = channel_axis_of(own.network.model)
        features = own.network.features(batch.x)
        logits = features[next(reversed(features))]
        loss = F.cross_entropy(logits, batch.y, label_smoothing=recipe.label_smoothing)
        for name, near, far in zip(own.layers, own.near, own.far, strict=True):
            f = pooled(features[name], batch.mask if own.by_person[name] else None, axis)
            loss = loss + self.attract * attraction(f, near, batch.y) - self.repel * repulsion(f, far, batch.y)
        return loss

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        own = _prototypes(model)
        own.zero_grad(set_to_none=True)
        loss = self.loss(model, batch, recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(own.network.parameters(), recipe.clip_norm)
        optimiser.step()
        sets = ((own.near, self.attract_rate / self.attract), (own.far, self.repel_rate / self.repel))
        with torch.no_grad():
            for centres, rate in sets:
                for centre in centres:
                    centre -= rate * centre.grad
        return loss.detach()

    def _chosen(self, network: Network, widths: Mapping[str, int]) -> list[str]:
        names = list(widths)
        unknown = [name for name in self.layers if name not in names]
        if unknown:
            raise SettingError(
                f"training.layers={list(self.layers)}: no layer {unknown[0]}: {nearest(unknown[0], names)}"
            )
        if self.layers:
            return list(self.layers)
        if hasattr(network.model, "streams"):
            raise SettingError(
                "training=pcl cannot choose layers of a network of several streams: set training.layers to names among "
                + ", ".join(names)
            )
        *earlier, last = names[:-1]
        others = [name for name in earlier if widths[name] != widths[last]]
        return [*others[-1:], last]


class Prototypes(nn.Module):
    """The network and the centres (K, F) of its classes in each layer; a training's state contains both."""

    def __init__(self, network: Network, widths: Mapping[str, int], classes: int) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(widths)
        self.by_person: Mapping[str, bool] = network.model.layers  # type: ignore[assignment]
        self.near, self.far = (
            nn.ParameterList(nn.Parameter(torch.randn(classes, width)) for width in widths.values()) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits


def pooled(features: Tensor, mask: Tensor | None, axis: int = 1) -> Tensor:
    """(N, F) features (N, F, ...), averaged over all but channels; with ``axis=-1``, features (N, ..., F).

    With the mask (N, 1, T, V, M) of clips, features are (N, M, F, ...), and the mean is over the persons that exist.
    """
    if axis == -1:
        features = features.movedim(-1, 1 if mask is None else 2)
    if mask is None:
        return features.flatten(2).mean(dim=2) if features.dim() > 2 else features
    persons = mask.flatten(1, 3).any(dim=1).to(features.dtype)  # (N, M)
    mean = features.flatten(3).mean(dim=3) if features.dim() > 3 else features
    return (mean * persons[..., None]).sum(dim=1) / persons.sum(dim=1, keepdim=True).clamp(min=1)


def attraction(features: Tensor, centres: Tensor, y: Tensor) -> Tensor:
    """The mean squared distance of features (N, F) from the centres (K, F) of their classes."""
    return (features - centres[y]).square().sum(dim=1).clamp(*BOUNDS).mean()


def repulsion(features: Tensor, centres: Tensor, y: Tensor) -> Tensor:
    """The mean squared distance of features (N, F) from the centres (K, F) of all other classes."""
    distances = (features[:, None] - centres).square().sum(dim=2).clamp(*BOUNDS)
    other = F.one_hot(y, len(centres)) == 0
    return distances[other].mean()


def _prototypes(model: nn.Module) -> Prototypes:
    assert isinstance(model, Prototypes)
    return model
