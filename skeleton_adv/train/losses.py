"""The loss of a victim's training."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.models.network import Network


def stream_cross_entropy(model: nn.Module, x: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy on clips (N, C, T, V, M), summed over the network's streams."""
    losses = [F.cross_entropy(logits, y, label_smoothing=label_smoothing) for logits in streams_of(model, x)]
    return torch.stack(losses).sum()


def streams_of(model: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    """The logits (N, K) of each separately trained part of a model; usually there is one."""
    return model.streams(x) if isinstance(model, Network) else (model(x),)
