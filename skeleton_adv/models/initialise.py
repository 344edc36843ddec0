"""Initialisations that several graph networks share."""

import math

from torch import nn


def plain(network: nn.Module) -> None:
    """Initialise convolutions as in He et al. (arXiv 1502.01852), by their number of outputs, with biases of 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def jittered(network: nn.Module) -> None:
    """As ``plain``, with scales of batch normalisation around 1 (standard deviation 0.02)."""
    plain(network)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1, 0.02)


def branch(conv: nn.Conv2d, branches: int) -> None:
    """One of several 1x1 convolutions whose outputs are added."""
    nn.init.normal_(conv.weight, 0, math.sqrt(2 / (conv.weight[:, :, 0].numel() * branches)))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def classifier(layer: nn.Linear) -> None:
    """The last layer of 2s-AGCN and its successors; the bias is PyTorch's default."""
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / layer.out_features))
