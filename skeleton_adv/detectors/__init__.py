"""Detectors: what tells adversarial clips from clean ones by the features of the victim's layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from skeleton_adv.models.deep import Deep

__all__ = ["Detector", "Examples", "Score"]

# Features -> (N,) scores, the higher the more likely adversarial; gradients flow.
Score = Callable[[Deep], Tensor]


@dataclass(frozen=True)
class Examples:
    """What a detector is fitted on.

    ``training``: training clips of the victim, with their classes ``labels`` (n,). ``natural``: natural clips that
    the victim classifies correctly. ``adversarial``: for each attack, its clips that fool the victim; they are made
    from clips of ``natural``. No clip of ``training`` is among them.
    """

    training: Deep
    labels: Tensor
    natural: Deep
    adversarial: Sequence[Deep]


class Detector(Protocol):
    """A detector; its fields are settings.

    ``supervised``: whether it is fitted on adversarial clips; otherwise on the training clips alone.
    """

    @property
    def supervised(self) -> bool: ...

    def fit(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """The fitted tensors, by name; the same for the same examples and seed."""
        ...

    def scorer(self, fitted: Mapping[str, Tensor]) -> Score:
        """The scores that fitted tensors give."""
        ...
