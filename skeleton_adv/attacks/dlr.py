"""The difference of logits ratio: a loss that does not depend on the scale or the shift of the logits."""

import torch
from torch import Tensor

from skeleton_adv.attacks import Model
from skeleton_adv.attacks.losses import margin
from skeleton_adv.core.batch import SkeletonBatch

_TINY = 1e-12  # so that equal logits do not divide by 0


def dlr(logits: Tensor, y: Tensor, targeted: bool = False) -> Tensor:
    """(N,) DLR loss, to be minimised (Croce and Hein, arXiv 2003.01690, Eqs. 6 and 7).

    The margin divided by the first minus the third largest logit; if ``targeted``, by the first minus the mean of the
    third and the fourth. With too few classes (fewer than 3, or 4 if ``targeted``) it is the margin itself.
    """
    return margin(logits, y, targeted) / _spread(logits, 4 if targeted else 3)


def targeted_dlr(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """(N,) the lead of class ``y`` over class ``target`` (N,) as a targeted DLR loss, to be minimised (Eq. 7)."""
    lead = (logits.gather(1, y[:, None]) - logits.gather(1, target[:, None]))[:, 0]
    return lead / _spread(logits, 4)


def ranked(logits: Tensor, y: Tensor, count: int) -> Tensor:
    """(N, J) the J = min(count, K - 1) classes with the largest logits (N, K), without ``y``, largest first."""
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


def clean_logits(model: Model, batch: SkeletonBatch) -> Tensor:
    """(N, K) logits of the clean clips, computed with gradients, so that a model without them fails at once."""
    return model(batch.x.clone().requires_grad_()).detach()


def _spread(logits: Tensor, count: int) -> Tensor:
    """(N,) the largest logit minus the mean of the third to the ``count``-th; 1 if there are fewer classes."""
    if logits.shape[1] < count:
        return torch.ones_like(logits[:, 0])
    largest = logits.topk(count, dim=1).values
    return largest[:, 0] - largest[:, 2:].mean(dim=1) + _TINY
