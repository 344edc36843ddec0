"""One-class classifiers instead of a network's last linear layer, and the verification of the class that they give.

The names of the entries in a file of weights show that a network has them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.models.stages import layers_of


class OneClassHead(nn.Module):
    """A sphere per class in a learned space: ``s_c = R_c^2 - |phi(f) - a_c|^2`` for features f (N, F), (N, K).

    Support vector data description (Tax and Duin, Machine Learning 54, 2004) with one sphere per class, after
    Adversarial defense by multiple one-class classifiers (Mygdalis and Pitas, M-SVDD); the formula is ours. phi is a
    linear layer with a rectifier. A clip whose largest score is negative is outside all spheres: see ``verified``.
    """

    def __init__(self, features: int, classes: int, dim: int) -> None:
        super().__init__()
        self.map = nn.Sequential(nn.Linear(features, dim), nn.ReLU())
        self.centres = nn.Parameter(torch.rand(classes, dim))
        self.radii = nn.Parameter(torch.ones(classes))

    def forward(self, features: Tensor) -> Tensor:
        # A sum of squared differences, because the expansion of the square loses small distances to rounding.
        distance = (self.map(features)[:, None] - self.centres).square().sum(dim=2)
        scores: Tensor = self.radii.square() - distance
        return scores


def verified(scores: Tensor) -> Tensor:
    """(N,) bool: whether a clip is inside the sphere of the class with the largest of its scores (N, K)."""
    return scores.amax(dim=1) >= 0


def with_one_class_head(model: nn.Module, dim: int) -> nn.Module:
    """The model with a ``OneClassHead`` instead of its last layer, which its ``layers`` name.

    Raises ``SettingError`` if the last layer is not linear.
    """
    name = last_linear(model)
    linear = model.get_submodule(name)
    assert isinstance(linear, nn.Linear)
    model.set_submodule(name, OneClassHead(linear.in_features, linear.out_features, dim))
    return model


def last_linear(model: nn.Module) -> str:
    """The name of the linear layer that returns the logits; raises ``SettingError`` if there is none."""
    layers = layers_of(model)
    name = list(layers)[-1] if layers else ""
    if not name or not isinstance(model.get_submodule(name), nn.Linear):
        raise SettingError(
            f"training=msvdd replaces the linear layer that returns the logits, but the last layer of "
            f"{type(model).__name__} is {name or 'not declared'}: choose a network of one stream, such as model=hcn"
        )
    return name


def head_of(model: nn.Module) -> OneClassHead:
    """The head that ``with_one_class_head`` has put into a model."""
    return next(module for module in model.modules() if isinstance(module, OneClassHead))


def width_of(weights: Mapping[str, Tensor]) -> int | None:
    """The dimension of the space of spheres in a file of weights; None if the network has no such head."""
    found = [value.shape[1] for name, value in weights.items() if name.endswith(".centres")]
    has_radii = any(name.endswith(".radii") for name in weights)
    return found[0] if found and has_radii else None
