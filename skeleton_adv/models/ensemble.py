"""Several victims as one: the mean of their logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.ranges import Count


class Ensemble(nn.Module):
    """The mean of the logits of several networks, each with its own preprocessing.

    Delving into Transferable Adversarial Examples and Black-box Attacks (Liu et al., arXiv 1611.02770), with equal
    weights on logits. Attacks can also use the ``members`` one by one.
    """

    def __init__(self, networks: Sequence[nn.Module] = (), num_classes: Count = 60) -> None:
        super().__init__()
        self.networks, self.num_classes = nn.ModuleList(networks), num_classes

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """(N, C, T, V, M) -> logits (N, num_classes)."""
        return torch.stack([network(x, context) for network in self.networks]).mean(dim=0)

    @property
    def members(self) -> tuple[nn.Module, ...]:
        """The networks."""
        return tuple(self.networks)

    @property
    def randomised(self) -> bool:
        """Whether any network draws noise."""
        return any(getattr(network, "randomised", False) for network in self.networks)
