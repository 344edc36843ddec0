"""What a network computes for clips: the features of its layers, averaged over frames, joints and persons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.models.network import Network
from skeleton_adv.models.stages import channel_axis_of, layers_of, stages_of


@dataclass(frozen=True)
class Deep:
    """The features of N clips at each stage of a network, in order, and their logits."""

    stages: tuple[Tensor, ...]  # (N, D_s) each
    logits: Tensor  # (N, K)

    def __len__(self) -> int:
        return len(self.logits)

    @property
    def predicted(self) -> Tensor:
        """(N,) predicted classes; -1 where the logits are not finite."""
        return torch.where(self.logits.isfinite().all(dim=1), self.logits.argmax(dim=1), -1)

    def take(self, chosen: Tensor) -> "Deep":
        """The clips with these numbers, or those where ``chosen`` (N,) is true."""
        return Deep(tuple(stage[chosen] for stage in self.stages), self.logits[chosen])


def joined(parts: Sequence[Deep]) -> Deep:
    """Several sets of clips as one."""
    stages = zip(*(part.stages for part in parts), strict=True)
    return Deep(tuple(torch.cat(stage) for stage in stages), torch.cat([part.logits for part in parts]))


def deep(network: nn.Module, x: Tensor, context: Context | None = None) -> Deep:
    """The features and logits of clips x (N, C, T, V, M), in one pass; gradients flow.

    Each layer is averaged over all its axes but the channels, as in Detection of Face Recognition Adversarial Attacks
    (Massoli et al., arXiv 1912.02918), Sec. 4. A stage is a layer, or the layers of several streams side by side (see
    ``stages``). The logits, of each stream too, are no stage, unless the model declares no layers. With a ``context``,
    the network may be behind a defense; the features are then means over the defense's draws. Raises ``SettingError``
    for a network without features.
    """
    single = network_within(network)
    if single is None:
        raise SettingError(f"{type(network).__name__} gives no features of its layers: choose a single network")
    found: Mapping[str, Tensor]
    found = single.features(x) if context is None else single.features_within(lambda: network(x, context), len(x))
    *_, last = found
    model = getattr(single, "model", single)
    by_person, axis = layers_of(model), channel_axis_of(model)
    pooled = (
        torch.cat([_pooled(found[name], by_person.get(name, False), axis) for name in stage], dim=1)
        for stage in stages_of(model) or [(last,)]
    )
    return Deep(tuple(pooled), found[last])


def network_within(module: nn.Module) -> Any:
    """The network whose layers give the features of a module: itself, or the only one that it contains; else None."""
    if hasattr(module, "features"):
        return module
    found = [part for part in module.modules() if isinstance(part, Network)]
    return found[0] if len(found) == 1 else None


def _pooled(output: Tensor, by_person: bool, axis: int) -> Tensor:
    """(N, C) means of an output (N, ...), or (N, M, ...) of persons one by one, whose other axes have C at ``axis``."""
    output = output.movedim(axis + 1 if by_person and axis > 0 else axis, 1)  # (N, C, ...)
    return output.flatten(2).mean(dim=2) if output.dim() > 2 else output
