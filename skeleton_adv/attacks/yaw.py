"""A change of view: the whole clip is turned about a vertical axis by the angle at which the victim fails."""

from typing import Annotated

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Range, Whole, checked
from skeleton_adv.core.turning import Up, first_root, turned


@needs("scores", passes=lambda angles, halvings, **_: 2 * (angles + halvings) + 1, masks=False)
@checked
def yaw(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    degrees: Annotated[float, Range("(0, 180]")] = 10.0,
    angles: Count = 16,
    halvings: Whole = 4,
    up: Up = "y",
) -> AttackResult:
    """The turn of the camera within ``degrees`` either way that has the smallest margin; the search is ours.

    The axis is vertical (``up``) and passes through the first position of the first person's root; all persons turn
    together. The attack tries 0 and ``angles`` angles on either side, evenly spaced, and then, ``halvings`` times, the
    two angles beside the best one, at half of the last distance. It returns the clip with the smallest margin, among
    those that fool the model if there are any. In an image, whose depth is unknown, horizontal distances shrink by the
    cosine. There is one parameter, so a fine grid leaves little to find.
    """
    most = torch.full_like(batch.x[:, 0, 0, 0, 0], degrees).deg2rad()
    best, lowest, x_best = torch.zeros_like(most), torch.full_like(most, torch.inf), batch.x
    found = torch.zeros_like(most, dtype=torch.bool)

    def tried(angle: Tensor) -> None:
        nonlocal best, lowest, x_best, found
        x = _turned(batch, angle, up)
        logits = model(x)
        value, success = margin(logits, batch.y, targeted), fooled(logits, batch.y, targeted)
        better = (success & ~found) | ((success == found) & (value < lowest))
        x_best = torch.where(better.view(-1, 1, 1, 1, 1), x, x_best)
        best, lowest = torch.where(better, angle, best), torch.where(better, value, lowest)
        found = found | success

    with torch.no_grad():
        for number in range(-angles, angles + 1):
            tried(most * number / angles)
        for halving in range(1, halvings + 1):
            middle, step = best, most / angles / 2**halving
            for side in (-1, 1):
                tried(torch.minimum(torch.maximum(middle + side * step, -most), most))
    return AttackResult(x_best, found)


def _turned(batch: SkeletonBatch, angle: Tensor, up: Up) -> Tensor:
    """The clips (N, C, T, V, M), turned by ``angle`` (N,) radians."""
    centre = first_root(batch)
    if len(batch.skeleton.coords) == 3:
        return turned(batch, angle, centre, up)
    across, x = batch.skeleton.coords[0], batch.x.clone()
    middle = centre[:, across].view(-1, 1, 1, 1)
    x[:, across] = middle + (batch.x[:, across] - middle) * angle.cos().view(-1, 1, 1, 1)
    return torch.where(batch.movable, x, batch.x)
