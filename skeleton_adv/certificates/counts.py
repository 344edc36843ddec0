"""Counts of the predicted classes under noise."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from skeleton_adv.certificates.space import Joints, Space
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal

JOINTS = Joints()


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
    space: Space = JOINTS,
) -> Tensor:
    """(N, K + 1) counts of the predicted classes under Gaussian noise, for the draws numbered ``draws``.

    The last column counts draws without a prediction, because their logits are not finite.
    Noise of ``sigma`` is added to the parameters of ``space``, by default the coordinates of existing joints, which
    are all that a certificate covers. A clip's draw with a given number does not depend on the batch, so counts may be
    computed in parts. One pass of ``logits(x, batch)`` evaluates ``at_once`` draws of all clips, at_once x N clips in
    total.
    """
    counts = torch.zeros(len(batch), num_classes + 1, dtype=torch.long, device=batch.x.device)
    repeated, params = _repeated(batch, at_once), space.parameters(batch)
    for start in range(draws.start, draws.stop, at_once):
        numbers = range(start, min(start + at_once, draws.stop))
        noise = [normal(params, batch.index, seed, purpose, number) for number in numbers]
        noise += [params] * (at_once - len(numbers))  # the shape of a pass never changes
        with torch.no_grad():
            outputs = logits(space.moved(repeated, sigma * torch.cat(noise)), repeated)
        predicted = torch.where(outputs.isfinite().all(dim=1), outputs.argmax(dim=1), num_classes)
        predicted = predicted.view(at_once, len(batch))[: len(numbers)]
        counts.scatter_add_(1, predicted.T, torch.ones_like(predicted.T))
    return counts


def count_blocks(
    logits: Callable[[Tensor, SkeletonBatch], Tensor],
    batch: SkeletonBatch,
    blocks: Sequence[tuple[int, range]],
    *,
    sigma: float,
    at_once: int,
    num_classes: int,
    seed: int,
    purpose: str,
    space: Space = JOINTS,
) -> Tensor:
    """(B, K + 1) counts for B blocks: the place of a clip in the batch, and at most ``at_once`` of its draws.

    As ``count_classes``, in one pass over at_once x N clips, so that each draw has the same prediction. There are at
    most N blocks; the rest of the pass is empty.
    """
    places, numbers = [0] * (at_once * len(batch)), [0] * (at_once * len(batch))
    counted = torch.zeros(len(batch), at_once, dtype=torch.bool)
    for block, (place, draws) in enumerate(blocks):
        slots = slice(block * at_once, block * at_once + len(draws))
        places[slots], numbers[slots] = [place] * len(draws), draws
        counted[block, : len(draws)] = True
    rows = torch.tensor(places, device=batch.x.device)
    chosen, counted = picked(batch, rows), counted.to(batch.x.device)
    params = space.parameters(chosen)
    noise = normal(params, chosen.index, seed, purpose, numbers) * counted.view(-1, *[1] * (params.dim() - 1))
    with torch.no_grad():
        outputs = logits(space.moved(chosen, sigma * noise), chosen)
    predicted = torch.where(outputs.isfinite().all(dim=1), outputs.argmax(dim=1), num_classes).view(len(batch), -1)
    counts = torch.zeros(len(batch), num_classes + 1, dtype=torch.long, device=batch.x.device)
    return counts.scatter_add_(1, predicted, counted.long())[: len(blocks)]


def picked(batch: SkeletonBatch, rows: Tensor) -> SkeletonBatch:
    """The clips at these places (R,) of the batch."""
    return replace(
        batch, x=batch.x[rows], y=batch.y[rows], mask=batch.mask[rows], index=batch.index[rows], dt=batch.dt[rows]
    )


def _repeated(batch: SkeletonBatch, times: int) -> SkeletonBatch:
    """The batch, concatenated with itself ``times`` times."""

    def tiled(values: Tensor) -> Tensor:
        return values.repeat(times, *[1] * (values.dim() - 1))

    return replace(
        batch,
        x=tiled(batch.x),
        y=tiled(batch.y),
        mask=tiled(batch.mask),
        index=tiled(batch.index),
        dt=tiled(batch.dt),
    )
