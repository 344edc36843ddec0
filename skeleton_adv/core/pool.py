"""Training clips for a method that fits tensors before its work on test clips."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch

# (N, C, T, V, M) -> logits (N, num_classes); with access to labels only, predicted classes (N,), -1 for no class.
Model = Callable[[Tensor], Tensor]
Tensors = Mapping[str, Tensor]


class Pool(Protocol):
    """The training clips that an attacker or a defender has."""

    def __len__(self) -> int: ...

    @property
    def labels(self) -> Tensor:
        """(n,) their classes."""
        ...

    def batch(self, numbers: Sequence[int]) -> SkeletonBatch:
        """These clips in the attack space, cropped and resampled as test clips are."""
        ...


# (batch, draw) -> the network on a batch of pool clips; one that draws noise has other draws for each ``draw``.
View = Callable[[SkeletonBatch, int], Model]

# (view, pool, state, **settings) -> states, the last of which is the fitted part. ``view(batch, draw)`` is the
# attacked or defended network (``draw`` is 0 if left out). A fit that was interrupted continues from the last ``state``
# that it yielded.
Fit = Callable[..., Iterator[Tensors]]
