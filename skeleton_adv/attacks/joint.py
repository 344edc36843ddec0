"""An attack on a classifier and a detector at once: clips that fool the one and raise no alarm in the other."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast, unit
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, checked

# (N, C, T, V, M) -> logits (N, K) of the classifier and scores (N,) of the detector, which gradients reach.
Both = Callable[[Tensor], tuple[Tensor, Tensor]]


@checked
def joint(
    both: Both,
    batch: SkeletonBatch,
    *,
    threshold: float,
    start: Tensor,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    steps: Count = 100,
    weights: Sequence[float] = (0.1, 1.0, 10.0),
) -> AttackResult:
    """Adversarial Examples Are Not Easily Detected (Carlini and Wagner, arXiv 1705.07263), in a ball.

    A clip succeeds if the classifier is fooled and the score of the detector is at most ``threshold``. The attack
    runs several times: for each of the ``weights``, along the sum of the gradient of the classifier's margin and
    ``weight`` times the detector's, both of length 1, so that weights do not depend on the scale of scores; and
    along one gradient at a time, that of the classifier until it is fooled and then that of the detector (selective
    descent: Bryniarski et al., arXiv 2106.15023), from the clean clip and from ``start`` (N, C, T, V, M), which is
    moved into the ball. Steps shrink linearly from a fifth of ``eps``, the radius in metres. Per clip, it returns
    the best iterate of all runs: a success with the lowest score, otherwise one that fools the classifier,
    otherwise that with the lowest margin.
    """
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    seen = _Best(batch, threshold, targeted)
    origin = torch.zeros_like(batch.x)
    begun = torch.where(movable & start.isfinite(), start - batch.x, 0)
    plans = [(None, begun), (None, origin), *((weight, origin) for weight in weights)]
    for weight, first in plans:
        delta = budget.shortened(first)
        for number in range(steps + 1):
            delta = delta.detach().requires_grad_()
            logits, scores = both(batch.x + delta)
            loss = margin(logits, batch.y, targeted)  # cross-entropy has no gradient for a confident classifier
            done = seen.add(batch.x + delta, logits, scores, loss)
            if number == steps:
                break
            of_classes, of_detector = (
                torch.where(movable, gradient.nan_to_num(0, 0, 0), 0)
                for gradient in (
                    torch.autograd.grad(loss.sum(), delta, retain_graph=True)[0],
                    torch.autograd.grad(scores.sum(), delta)[0],
                )
            )
            if weight is None:
                direction = torch.where(broadcast(done), of_detector, of_classes)
            else:
                direction = unit(of_classes) + weight * unit(of_detector)
            step = 0.2 * eps * (1 - number / steps)
            delta = budget.shortened(delta.detach() - step * budget.steepest(direction))
    return AttackResult(seen.x.detach(), seen.rank == 2)


class _Best:
    """The best iterate of each clip: ``x`` and its ``rank``, 2 for a success, 1 if only the classifier is fooled."""

    def __init__(self, batch: SkeletonBatch, threshold: float, targeted: bool) -> None:
        self.x, self.rank = batch.x, torch.full_like(batch.y, -1)
        self._value = torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
        self._y, self._threshold, self._targeted = batch.y, threshold, targeted

    @torch.no_grad()
    def add(self, x: Tensor, logits: Tensor, scores: Tensor, loss: Tensor) -> Tensor:
        """Keep the iterates x (N, C, T, V, M) that are better; return (N,) bool: which fool the classifier."""
        hit = fooled(logits, self._y, self._targeted)
        rank = hit.long() + (hit & (scores <= self._threshold)).long()
        value = torch.where(hit, scores, loss).to(self._value)
        better = (rank > self.rank) | ((rank == self.rank) & (value < self._value))
        self.x = torch.where(broadcast(better), x.detach(), self.x)
        self.rank, self._value = torch.where(better, rank, self.rank), torch.where(better, value, self._value)
        return hit
