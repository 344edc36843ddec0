"""How often each class is predicted under noise."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal


def count_classes(
    logits: Callable[[Tensor, SkeletonBatch], Tensor],
    batch: SkeletonBatch,
    *,
    sigma: float,
    draws: range,
    at_once: int,
    num_classes: int,
    seed: int,
    purpose: str,
) -> Tensor:
    """(N, K + 1) how often each class is predicted under Gaussian noise, for these numbers of draws.

    The last column counts draws without a prediction, because their logits are not finite.
    Noise of ``sigma`` is added to the coordinates of existing joints only: a certificate covers no
    others. Clip n's draw d does not depend on the batch, so counts may be taken in parts.
    One pass of ``logits(x, batch)`` takes ``at_once`` draws of all clips, at_once x N clips in all.
    """
    counts = torch.zeros(len(batch), num_classes + 1, dtype=torch.long, device=batch.x.device)
    wide = _repeated(batch, at_once)
    for start in range(draws.start, draws.stop, at_once):
        numbers = range(start, min(start + at_once, draws.stop))
        noise = [normal(batch.x, batch.index, seed, purpose, number) for number in numbers]
        noise += [torch.zeros_like(batch.x)] * (at_once - len(numbers))  # the shape of a pass never changes
        with torch.no_grad():
            said = logits(wide.x + sigma * torch.cat(noise) * wide.movable, wide)
        answers = torch.where(said.isfinite().all(dim=1), said.argmax(dim=1), num_classes)
        answers = answers.view(at_once, len(batch))[: len(numbers)]
        counts.scatter_add_(1, answers.T, torch.ones_like(answers.T))
    return counts


def _repeated(batch: SkeletonBatch, times: int) -> SkeletonBatch:
    """The clips ``times`` over, whole batch after whole batch."""

    def again(values: Tensor) -> Tensor:
        return values.repeat(times, *[1] * (values.dim() - 1))

    return replace(
        batch,
        x=again(batch.x),
        y=again(batch.y),
        mask=again(batch.mask),
        index=again(batch.index),
        dt=again(batch.dt),
    )
