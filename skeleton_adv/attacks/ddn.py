"""DDN: the direction of a step and the length of the displacement are decoupled."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled, margin
from skeleton_adv.attacks.shortest import Shortest, cosine, direction, length, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Probability, checked

Loss = Literal["cross_entropy", "margin"]


@needs("gradients", passes=lambda steps, **_: steps + 1, minimises="l2")
@checked
def ddn(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    loss: Loss = "cross_entropy",
    steps: Count = 300,
    radius: Positive = 1.0,
    gamma: Probability = 0.05,
    lr: Positive = 1.0,
    lr_final: Positive = 0.01,
) -> AttackResult:
    """Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and Defenses
    (Rony et al., arXiv 1811.09600), Algorithm 1.

    Each step moves the displacement along the direction of the gradient and sets its l2 norm, in metres.
    This norm begins at ``radius`` and becomes 1 - ``gamma`` times as large where the clip fools the model, otherwise
    1 + ``gamma`` times. The step falls along a cosine from ``lr`` to ``lr_final``. The attack returns the shortest
    displacement that fools the model, per clip; if none does, the last one.
    Differs from the paper: ``lr`` and ``lr_final`` are fractions of this norm, not lengths, because displacements of
    skeletons have other lengths than those of images. Coordinates have no bounds and are not rounded to 256
    levels. A clip whose gradient is 0 does not move.
    """
    best, last = descend(model, batch, targeted, loss, steps, radius, gamma, lr, lr_final)
    return best.result(model, batch, targeted, last)


def descend(
    model: Model,
    batch: SkeletonBatch,
    targeted: bool,
    loss: Loss = "cross_entropy",
    steps: int = 300,
    radius: float = 1.0,
    gamma: float = 0.05,
    lr: float = 1.0,
    lr_final: float = 0.01,
) -> tuple[Shortest, Tensor]:
    """The shortest displacements that DDN finds, and the last one; one pass per step."""
    movable, best = batch.movable, Shortest(batch)
    norm = torch.full_like(best.size, radius)
    delta = torch.zeros_like(batch.x)
    for step in range(steps):
        delta.requires_grad_()
        logits = model(batch.x + delta)
        (gradient,) = torch.autograd.grad(objective(logits, batch.y, targeted, loss).sum(), delta)
        with torch.no_grad():
            success = fooled(logits, batch.y, targeted)
            best.offer(delta, length(delta), success)
            norm = norm * torch.where(success, 1 - gamma, 1 + gamma)
            towards = direction(torch.where(movable, gradient, 0))
            rate = cosine(lr, lr_final, step, steps)
            delta = per_clip(norm) * direction(delta.detach() - rate * per_clip(norm) * towards)
    return best, delta


def objective(logits: Tensor, y: Tensor, targeted: bool, loss: Loss) -> Tensor:
    """(N,) the loss that is lowered: the margin, or the cross-entropy of the target or minus that of the class."""
    if loss == "margin":
        return margin(logits, y, targeted)
    return cross_entropy(logits, y) * (1 if targeted else -1)
