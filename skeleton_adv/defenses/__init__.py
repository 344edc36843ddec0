"""Defenses: each wraps a network and keeps its signature, ``(x, context) -> logits``."""

from torch import nn


def none(network: nn.Module) -> nn.Module:
    """No defense: the network itself."""
    return network
