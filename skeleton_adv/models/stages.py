"""Which layers of a model give its features, stage by stage, and on which axis their channels are.

A model may declare ``feature_stages``, the names of the layers of each stage, and ``channel_axis``, the axis of
channels in the outputs of its layers without the axis of persons: 1 unless declared, or -1.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn

Stages = tuple[tuple[str, ...], ...]


def layers_of(model: nn.Module) -> Mapping[str, bool]:
    """The ``layers`` that a model declares; none if it has something else of this name, such as a submodule."""
    declared: Any = getattr(model, "layers", {})
    return declared if isinstance(declared, Mapping) else {}


def stages_of(model: nn.Module) -> Stages:
    """The names of the layers of each stage: as declared, else each layer but the last, which returns the logits."""
    declared: Any = getattr(model, "feature_stages", [(name,) for name in list(layers_of(model))[:-1]])
    return tuple(tuple(stage) for stage in declared)


def within(name: str, model: nn.Module) -> Stages:
    """The stages of a submodule, under the names that its layers have in the model around it."""
    return tuple(tuple(f"{name}.{layer}" for layer in stage) for stage in stages_of(model))


def side_by_side(streams: Mapping[str, nn.Module]) -> Stages:
    """The stages of several networks of the same kind: in each, the layers of all of them."""
    by_stream = [within(name, model) for name, model in streams.items()]
    return tuple(sum(stages, ()) for stages in zip(*by_stream, strict=True))


def channel_axis_of(model: nn.Module) -> int:
    """The axis of channels in the outputs of a model's layers, without the axis of persons."""
    axis: int = getattr(model, "channel_axis", 1)
    return axis
