"""Parts of a black-box attack: training clips, and a linear victim that answers with labels."""

from collections.abc import Sequence
from typing import Any

from conftest import linear_case, make_batch
from options import reordered
from torch import Tensor

from skeleton_adv.attacks.losses import margin
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton


class PoolOf:
    """The clips of a batch as an attacker's training clips."""

    def __init__(self, batch: SkeletonBatch) -> None:
        self.clips = batch

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def labels(self) -> Tensor:
        return self.clips.y

    def batch(self, numbers: Sequence[int]) -> SkeletonBatch:
        return reordered(self.clips, list(numbers))


def pool_like(batch: SkeletonBatch, n: int = 12) -> PoolOf:
    """Clips of three classes with the shape of those of ``batch``."""
    _, _, t, _, m = batch.x.shape
    body: Skeleton = batch.skeleton
    return PoolOf(make_batch(n=n, t=t, m=m, skeleton=body, seed=9, dtype=batch.x.dtype))


def two_classes(**shape: Any) -> tuple[Any, SkeletonBatch, Tensor]:
    """A linear victim of two classes that answers with labels, its clips, and the l2 (N,) of the nearest others."""
    model, batch = linear_case(**{"t": 2, "m": 1} | shape)
    model.weight.data = model.weight[:2]
    batch = batch.with_labels(model(batch.x).argmax(dim=1))
    across = (model.weight[0] - model.weight[1]).view(1, *batch.x.shape[1:]) * batch.movable
    return model, batch, margin(model(batch.x), batch.y) / across.flatten(1).norm(dim=1)


class Labels:
    """Predicted classes of a model, whose calls are counted."""

    def __init__(self, model: Any) -> None:
        self.model, self.calls = model, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        classes: Tensor = self.model(x).argmax(dim=1)
        return classes
