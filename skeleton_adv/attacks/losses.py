"""Losses that attacks minimise, with one value per clip, and the check whether a clip fools the model."""

import torch
import torch.nn.functional as F
from torch import Tensor


def margin(logits: Tensor, y: Tensor, targeted: bool = False) -> Tensor:
    """(N,) ``z_y - max_{k != y} z_k``, or its negative if ``targeted``; the model is fooled where it is below 0."""
    true = logits.gather(1, y[:, None])[:, 0]
    # -inf, not a large number: logits may have any value (log-probabilities are all negative).
    other = logits.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    return other - true if targeted else true - other


def hinge(logits: Tensor, y: Tensor, targeted: bool, conf: float) -> Tensor:
    """(N,) ``max(margin + conf, 0)`` (Zheng et al., Sec. 4.4, untargeted and targeted)."""
    return (margin(logits, y, targeted) + conf).relu()


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """(N,) cross-entropy of each clip."""
    return F.cross_entropy(logits, y, reduction="none")


def fooled(logits: Tensor, y: Tensor, targeted: bool) -> Tensor:
    """(N,) bool: whether the predicted class is ``y`` if ``targeted``, otherwise whether it differs from ``y``.

    Logits that are not finite predict no class, so they never count as fooled.
    """
    hit = logits.argmax(dim=1) == y
    return (hit if targeted else ~hit) & logits.isfinite().all(dim=1)
